"""The prompt filter as the service asks it: a refusal goes into the audit log, a filter that breaks lets nothing through."""

from __future__ import annotations

from functools import lru_cache

import structlog

from contract.errors import FilterDown, SettingsWrong
from contract.settings import Settings
from safety.policy import Policy
from safety.prompt_filter import PromptFilter, Verdict
from safety.semantic.tower import TowerMissing

REMEMBERED = 2048
"""Prompts whose verdict is kept: programs send the same one again and again."""

audit = structlog.get_logger("unclip.audit")


class PromptGuard:
    """Judges prompts. tells_prompts: whether the audit log may hold their words."""

    def __init__(self, prompt_filter: PromptFilter, *, tells_prompts: bool = False) -> None:
        self._check = lru_cache(REMEMBERED)(prompt_filter.check)
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
        try:
            return self._check(text)
        except Exception as error:
            structlog.get_logger("service").exception("the prompt filter failed")
            raise FilterDown(f"{type(error).__name__}: {error}") from error
