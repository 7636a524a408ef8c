"""A word list: which listed terms stand in a text of plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

GAP = "·"
"""Stands for a word that was taken out; no list has it."""


@dataclass(frozen=True)
class Vocabulary:
    """Terms of one or more words. `endless`: beginnings, by their number of words, after which any ending counts."""

    exact: frozenset[str]
    endless: dict[int, tuple[str, ...]]
    longest: int

    @classmethod
    def of(cls, terms: Iterable[str]) -> Self:
        """Build from terms; a final `*` stands for any ending."""
        exact: set[str] = set()
        endless: dict[int, tuple[str, ...]] = {}
        longest = 1
        for term in terms:
            size = len(term.split())
            longest = max(longest, size)
            if term.endswith("*"):
                endless[size] = (*endless.get(size, ()), term[:-1])
            else:
                exact.add(term)
        return cls(frozenset(exact), endless, longest)

    @property
    def words(self) -> set[str]:
        """Every word that a term is made of, and the beginnings of those with any ending."""
        stems = (stem for stems in self.endless.values() for stem in stems)
        return {word for term in (*self.exact, *stems) for word in term.split()}

    def lists(self, phrase: str, size: int = 1) -> bool:
        """True when the phrase of `size` words is a term."""
        return phrase in self.exact or phrase.startswith(self.endless.get(size, ()))

    def find(self, words: Sequence[str]) -> set[str]:
        """Return the phrases in `words` that are terms."""
        return {" ".join(words[start:end]) for start, end in self.spans(words)}

    def without(self, words: Sequence[str]) -> list[str]:
        """Return `words` with each listed phrase replaced by one word that no list has."""
        kept = list(words)
        for start, end in self.spans(words):
            kept[start:end] = [GAP] * (end - start)
        return kept

    def spans(self, words: Sequence[str]) -> list[tuple[int, int]]:
        """Return where in `words` terms stand: first word and the one after the last."""
        return list(self._spans(words))

    def _spans(self, words: Sequence[str]) -> Iterator[tuple[int, int]]:
        for start in range(len(words)):
            for end in range(start + 1, min(start + self.longest, len(words)) + 1):
                if self.lists(" ".join(words[start:end]), end - start):
                    yield start, end
