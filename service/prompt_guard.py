"""The prompt filter as the service asks it: a refusal goes into the audit log, a filter that breaks lets nothing through."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import anyio
import anyio.to_thread
import structlog

from contract.errors import FilterDown, SettingsWrong
from contract.settings import Settings
from safety.policy import Policy
from safety.prompt_filter import PromptFilter, Verdict
from safety.semantic.tower import TowerMissing

REMEMBERED = 2048
"""Prompts whose verdict is kept: programs send the same one again and again."""
READERS = 2

audit = structlog.get_logger("unclip.audit")


class PromptGuard:
    """Judges prompts. tells_prompts: whether the audit log may hold their words."""

    def __init__(self, prompt_filter: PromptFilter, *, tells_prompts: bool = False) -> None:
        self._check = prompt_filter.check
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()
        self._changing = Lock()
        self._readers: anyio.CapacityLimiter | None = None
        self.tells_prompts = tells_prompts

    @classmethod
    def load(cls, settings: Settings) -> PromptGuard:
        """Read the filter, whole. Raises SettingsWrong for a policy that cannot be followed, or when a part is missing."""
        try:
            policy = Policy.read(settings.prompt_filter_categories, settings.prompt_filter_thresholds)
        except ValueError as error:
            raise SettingsWrong(f"UNCLIP_PROMPT_FILTER_CATEGORIES and UNCLIP_PROMPT_FILTER_THRESHOLDS: {error}") from error
        try:
            prompt_filter = PromptFilter.load(settings.sentence_tower_folder, policy)
        except (TowerMissing, OSError) as error:
            raise SettingsWrong(f"the prompt filter is not whole, and nothing is drawn unchecked: {error}") from error
        return cls(prompt_filter, tells_prompts=settings.audit_prompts)

    def check(self, prompt: str) -> Verdict:
        """Return the verdict on a prompt that is to be drawn; a refusal goes into the audit log. Raises FilterDown."""
        verdict = self.verdict(prompt)
        if not verdict.allowed:
            words = {"prompt": prompt, "matches": verdict.matches} if self.tells_prompts else {"characters": len(prompt)}
            found = {"categories": verdict.categories, "scores": verdict.scores}
            audit.info("prompt refused", stage="input", **found, **words)
        return verdict

    def verdict(self, text: str) -> Verdict:
        """Return the verdict on any text. Raises FilterDown when the filter breaks: what nobody has read is not drawn."""
        with self._changing:
            if (known := self._verdicts.get(text)) is not None:
                self._verdicts.move_to_end(text)
                return known
        try:
            verdict = self._check(text)
        except Exception as error:
            structlog.get_logger("service").exception("the prompt filter failed")
            raise FilterDown(f"{type(error).__name__}: {error}") from error
        with self._changing:
            self._verdicts[text] = verdict
            while len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
        return verdict

    def remembers(self, text: str) -> bool:
        """True where a verdict takes no time."""
        return text in self._verdicts

    async def read(self, texts: Sequence[str]) -> None:
        """Judge texts off the event loop, for which the filter would stand still; then their verdicts are known.

        Few threads do it: the filter computes, and more of them would only take the processor from the loop. Raises FilterDown.
        """
        new = [text for text in texts if not self.remembers(text)]
        if not new:
            return
        # Made here: a limiter belongs to a running event loop, and there is none yet when this object is built.
        self._readers = self._readers or anyio.CapacityLimiter(READERS)
        await anyio.to_thread.run_sync(lambda: [self.verdict(text) for text in new], limiter=self._readers)
