"""OpenAI's moderation API on the wire, and which of its categories are looked at here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from safety.picture_filter import CATEGORIES as OF_PICTURES
from safety.policy import CATEGORIES as OF_TEXTS

OPENAI_CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
)
MAX_TEXTS, MAX_CHARACTERS = 32, 4000

Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(_Strict):
    """A text beside a picture."""

    type: Literal["text"]
    text: Text


class ImageUrl(_Strict):
    """Where a picture is: an https address, a data URL, or the id of an earlier picture."""

    url: str


class ImagePart(_Strict):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class ModerationRequest(_Strict):
    """What to judge: a text, several texts (a result each), or parts with texts and a picture (one result)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"input": "a red apple"}]})

    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
        | Annotated[list[Part], Field(min_length=1, max_length=MAX_TEXTS)]
    ) = Field(description="A string, strings, or parts as OpenAI's API has them. At most one picture.")
    model: str | None = Field(default=None, description="Accepted for OpenAI's clients: there is one set of filters.")


class ModerationResult(BaseModel):
    """The verdict on one input."""

    flagged: bool = Field(description="True when any category is; a drawing request with it would be refused.")
    categories: dict[str, bool] = Field(examples=[dict.fromkeys(OPENAI_CATEGORIES, False)])
    category_scores: dict[str, float] = Field(examples=[dict.fromkeys(OPENAI_CATEGORIES, 0.0)])
    category_applied_input_types: dict[str, list[Literal["text", "image"]]] = Field(
        description="What each category was looked for in; empty for those of OpenAI's that no filter here knows.",
        examples=[{name: ["text"] if name in OF_TEXTS else [] for name in OPENAI_CATEGORIES}],
    )

    @classmethod
    def of(cls, flagged: set[str], texts: dict[str, float] | None, picture: dict[str, float] | None) -> ModerationResult:
        """Return the result of what was found. texts, picture: the scores of each, None for what was not there."""
        scores = {name: max((texts or {}).get(name, 0.0), (picture or {}).get(name, 0.0)) for name in OPENAI_CATEGORIES}
        applied: dict[str, list[Literal["text", "image"]]] = {name: [] for name in OPENAI_CATEGORIES}
        for name in OF_TEXTS if texts is not None else ():
            applied[name].append("text")
        for name in OF_PICTURES if picture is not None else ():
            applied[name].append("image")
        return cls(
            flagged=bool(flagged),
            categories={name: name in flagged for name in OPENAI_CATEGORIES},
            category_scores=scores,
            category_applied_input_types=applied,
        )


class ModerationResponse(BaseModel):
    """OpenAI's reply."""

    id: str = Field(examples=["modr-5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f"])
    model: str = Field(examples=["unclip-filters"])
    results: list[ModerationResult]
