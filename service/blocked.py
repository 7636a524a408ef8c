"""Pictures that were drawn and that the picture filter kept back, as callers are told of them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from contract.errors import ContentBlocked
from contract.record import BlockedPicture


class BlockedImage(BaseModel):
    """One picture that was kept back; nothing of it is stored."""

    index: int = Field(examples=[1])
    categories: list[str] = Field(examples=[["sexual"]])
    scores: dict[str, float] = Field(description="0 to 1, of every category that was looked at.", examples=[{"sexual": 0.93}])

    @classmethod
    def of(cls, picture: BlockedPicture) -> BlockedImage:
        """Return `picture` as callers see it."""
        return cls(index=picture.index, categories=list(picture.categories), scores=dict(picture.scores))


def refusal_of(blocked: Sequence[BlockedPicture]) -> ContentBlocked:
    """Return the refusal of a job none of whose pictures may go out, with the highest score of each category."""
    categories = sorted({category for picture in blocked for category in picture.categories})
    scores: dict[str, float] = {}
    for picture in blocked:
        scores |= {category: max(score, scores.get(category, 0.0)) for category, score in picture.scores.items()}
    return ContentBlocked(categories, stage="output", scores=scores)
