"""What is refused, and from which score: the operator's choice, within what the filters know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

CATEGORIES = ("sexual", "sexual/minors", "violence/graphic", "hate", "self-harm")
"""OpenAI's names, as callers see them."""
ALWAYS = "sexual/minors"


@dataclass(frozen=True)
class Policy:
    """categories: what prompts are refused for. thresholds: the classifier's scores, where they are not the fitted ones."""

    categories: tuple[str, ...] = CATEGORIES
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, categories: str, thresholds: str | None) -> Self:
        """Read `sexual,hate` and `hate=0.9,sexual=0.7`. Raises ValueError saying what is wrong."""
        named = tuple(name.strip() for name in categories.split(",") if name.strip())
        for name in named:
            _check_name(name)
        if ALWAYS not in named:
            raise ValueError(f"{ALWAYS} cannot be left out of the categories")
        chosen: dict[str, float] = {}
        for pair in filter(None, map(str.strip, (thresholds or "").split(","))):
            name, _, number = pair.partition("=")
            _check_name(name)
            chosen[name] = _score(pair, number)
        return cls(tuple(name for name in CATEGORIES if name in named), chosen)


def _check_name(name: str) -> None:
    if name not in CATEGORIES:
        raise ValueError(f"{name!r} is no category; there are {', '.join(CATEGORIES)}")


def _score(pair: str, number: str) -> float:
    try:
        score = float(number)
    except ValueError:
        score = -1.0
    if not 0 < score <= 1:
        raise ValueError(f"{pair!r} should read category=score with a score above 0 and up to 1")
    return score
