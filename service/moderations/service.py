"""Asks the filters about texts and pictures that nobody wants drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contract.errors import InvalidParameter
from safety.prompt_filter import Verdict
from service.moderations.schemas import ImagePart, ModerationRequest, ModerationResult, Part, TextPart
from service.prompt_guard import PromptGuard
from service.uploads.inputs import InputsService


class ModerationsService:
    """The filters, as they stand before drawing: the same thresholds, the same verdicts."""

    def __init__(self, guard: PromptGuard, inputs: InputsService) -> None:
        self.guard = guard
        self.inputs = inputs

    async def judge(self, request: ModerationRequest, key: str, own: Callable[[str], str]) -> list[ModerationResult]:
        """Return a result for each text, or one for all parts together.

        key: the caller's; own: gives the id for the address of a picture of this service's. Raises InvalidParameter,
        FilterDown, and what taking a picture in raises.
        """
        if isinstance(request.input, str):
            return [await self._of_texts([request.input])]
        texts = [one for one in request.input if isinstance(one, str)]
        if texts:
            return [await self._of_texts([text]) for text in texts]
        return [await self._of_parts([one for one in request.input if not isinstance(one, str)], key, own)]

    async def _of_texts(self, texts: Sequence[str]) -> ModerationResult:
        verdicts = [await self._verdict(text) for text in texts]
        return ModerationResult.of(_flagged(verdicts), _highest(verdicts), None)

    async def _of_parts(self, parts: Sequence[Part], key: str, own: Callable[[str], str]) -> ModerationResult:
        pictures = [part.image_url.url for part in parts if isinstance(part, ImagePart)]
        if len(pictures) > 1:
            raise InvalidParameter("input", f"input holds {len(pictures)} pictures; one is looked at")
        verdicts = [await self._verdict(part.text) for part in parts if isinstance(part, TextPart)]
        texts = _highest(verdicts) if verdicts else None
        if not pictures:
            return ModerationResult.of(_flagged(verdicts), texts, None)
        seen = await self.inputs.judge(pictures[0], key, "input", own)
        return ModerationResult.of(_flagged(verdicts) | set(seen.categories), texts, dict(seen.scores))

    async def _verdict(self, text: str) -> Verdict:
        await self.guard.read([text])
        return self.guard.verdict(text)


def _flagged(verdicts: Sequence[Verdict]) -> set[str]:
    return {category for verdict in verdicts for category in verdict.categories}


def _highest(verdicts: Sequence[Verdict]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for verdict in verdicts:
        scores |= {category: max(score, scores.get(category, 0.0)) for category, score in verdict.scores.items()}
    return scores
