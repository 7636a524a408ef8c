"""The prompt filter: refuses prompts by the words in them, after undoing the usual disguises.

It knows English words only and understands no sentence: it is the first fence, quick and predictable, not a judge. The words
live in `terms/`, one file per category of OpenAI's moderation; `terms/README.md` tells how a line reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import pairwise
from typing import Self

from safety.disguises import readings
from safety.vocabulary import Vocabulary

CATEGORIES = ("sexual", "sexual/minors", "violence/graphic", "hate", "self-harm")
"""OpenAI's names, as callers see them; the file of `a/b-c` is `a_b_c.txt`."""
YEARS = ("year", "years", "yr", "yrs", "yo")
ADULT_AGE = 18
FILE_NAME = str.maketrans("/-", "__")


@dataclass(frozen=True)
class Verdict:
    """What was found. `categories`: in the order of CATEGORIES; `matches`: the words that led there, for the log.

    `scores`: of every category that is looked at, 0 harmless to 1; a listed word is 1.
    """

    categories: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """True when nothing was found."""
        return not self.categories


@dataclass(frozen=True)
class PromptFilter:
    """Terms by category. Words in `benign` phrases count for nothing; `suggestive` ones only beside a `minors` word."""

    terms: Mapping[str, Vocabulary]
    benign: Vocabulary
    minors: Vocabulary
    suggestive: Vocabulary
    hashes: frozenset[str]

    @classmethod
    def load(cls) -> Self:
        """Read the word lists that ship with the package. Raises OSError if one is missing: a filter without words is none."""
        return cls(
            terms={category: Vocabulary.of(_lines(category.translate(FILE_NAME))) for category in CATEGORIES},
            benign=Vocabulary.of(_lines("benign")),
            minors=Vocabulary.of(_lines("minors")),
            suggestive=Vocabulary.of(_lines("suggestive")),
            hashes=frozenset(_lines("hate_hashed")),
        )

    def check(self, prompt: str) -> Verdict:
        """Return the verdict on one prompt; raises nothing, whatever the text."""
        found: dict[str, set[str]] = {category: set() for category in CATEGORIES}
        for reading in readings(prompt, self._is_listed):
            for category, words in self._found(self.benign.without(reading.split())):
                found[category] |= words
        return Verdict(
            categories=tuple(category for category in CATEGORIES if found[category]),
            matches=tuple(sorted(set().union(*found.values()))),
            scores={category: float(bool(found[category])) for category in CATEGORIES},
        )

    def _found(self, words: Sequence[str]) -> Iterator[tuple[str, set[str]]]:
        """Yield each category with the words of it in one reading of the prompt."""
        for category, vocabulary in self.terms.items():
            yield category, vocabulary.find(words)
        yield "hate", {f"sha256:{_digest(word)}" for word in words if _digest(word) in self.hashes}
        sexual = self.terms["sexual"].find(words) | self.suggestive.find(words)
        young = self.minors.find(words) | _young_ages(words)
        yield "sexual/minors", sexual | young if sexual and young else set()

    def _is_listed(self, word: str) -> bool:
        return any(vocabulary.lists(word) for vocabulary in self.terms.values()) or _digest(word) in self.hashes


def _lines(name: str) -> list[str]:
    text = (files("safety") / "terms" / f"{name}.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _young_ages(words: Sequence[str]) -> set[str]:
    """Find ages below eighteen: `12 years old`, `9 yo`."""
    pairs = pairwise(words)
    return {
        f"{age} {unit}" for age, unit in pairs if unit in YEARS and age.isdecimal() and len(age) < 4 and int(age) < ADULT_AGE
    }


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()
