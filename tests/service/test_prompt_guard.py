"""What the audit log tells of refused prompts, and what not."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from contract.errors import SettingsWrong
from contract.settings import Settings
from safety.semantic.tower import TowerMissing
from service import prompt_guard
from service.prompt_guard import PromptGuard


def told(settings: Settings, prompt: str) -> list[MutableMapping[str, Any]]:
    with capture_logs() as lines:
        PromptGuard.load(settings).check(prompt)
    return [line for line in lines if line["event"] == "prompt refused"]


def test_a_refusal_is_told_without_the_words(settings: Settings) -> None:
    (line,) = told(settings, "a nude woman at Bob's")

    assert (line["categories"], line["scores"]["sexual"], line["characters"]) == (("sexual",), 1.0, 21)
    assert "nude" not in str(line)
    assert "Bob" not in str(line)


def test_with_leave_the_words_are_told_too(settings: Settings) -> None:
    (line,) = told(settings.model_copy(update={"audit_prompts": True}), "a nude woman")

    assert (line["prompt"], line["matches"]) == ("a nude woman", ("nude",))


def test_what_passes_is_not_told(settings: Settings) -> None:
    assert told(settings, "a red apple") == []


def test_without_its_tower_the_service_does_not_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise TowerMissing("no such file")

    monkeypatch.setattr(prompt_guard.PromptFilter, "load", missing)
    with pytest.raises(SettingsWrong, match="nothing is drawn unchecked"):
        PromptGuard.load(settings)
