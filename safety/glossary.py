"""Reads words of other languages as the English ones that the lists and the classifier know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

from safety.disguises import WORD, fold
from safety.vocabulary import Vocabulary

ANYWHERE = re.compile(r"[\u0600-\u06ff\u0900-\u097f\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af]")
"""Scripts whose words run together or take their endings and articles without a gap."""


@dataclass(frozen=True)
class Glossary:
    """words: English by form, for forms of whole words. endings: the same for forms with an open end. parts: for any place."""

    words: Mapping[str, str]
    endings: Mapping[str, str]
    forms: Vocabulary
    parts: Mapping[str, str]

    @classmethod
    def load(cls) -> Self:
        """Read the glosses that ship with the package. Raises OSError, or ValueError for a line that is none."""
        pages = sorted(page.name for page in (files("safety") / "glosses").iterdir() if page.name.endswith(".txt"))
        return cls.of(line for name in pages for line in (files("safety") / "glosses" / name).read_text("utf-8").splitlines())

    @classmethod
    def of(cls, lines: Iterable[str]) -> Self:
        """Build from lines `english = form, form …`."""
        words: dict[str, str] = {}
        endings: dict[str, str] = {}
        parts: dict[str, str] = {}
        for line in lines:
            if not line.strip() or line.startswith("#"):
                continue
            english, equals, forms = line.partition(" = ")
            if not equals:
                raise ValueError(f"a gloss reads `english = form, form`, not {line!r}")
            for form in forms.split(","):
                bare = fold(form.strip())
                kind = parts if ANYWHERE.search(bare) else endings if bare.endswith("*") else words
                kind[bare.rstrip("*")] = english.strip()
        vocabulary = Vocabulary.of([*words, *(form + "*" for form in endings)])
        # Longest first: 裸体 before what is within it.
        return cls(words, endings, vocabulary, dict(sorted(parts.items(), key=lambda part: -len(part[0]))))

    def read(self, folded: str) -> str:
        """Return the folded text with every form in it read as English; the same text when there is none."""
        text = folded
        if ANYWHERE.search(text):
            for form, english in self.parts.items():
                text = text.replace(form, f" {english} ")
        words = WORD.findall(text)
        spans = self.forms.spans(words)
        if not spans:
            return text
        read: list[str] = []
        at = 0
        for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            if start < at:
                continue
            read += [*words[at:start], self._english(" ".join(words[start:end]))]
            at = end
        return " ".join([*read, *words[at:]])

    def _english(self, form: str) -> str:
        if form in self.words:
            return self.words[form]
        return self.endings[max((start for start in self.endings if form.startswith(start)), key=len)]
