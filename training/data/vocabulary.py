"""Which concepts the sprites show, in which styles, and the words that mean them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.data.errors import DataError
from training.data.labels import SpriteInfo
from training.data.words import bare, read_objects

EVERYDAY = ("animals-nature", "food-drink", "travel-places", "activities", "objects")
WORDS = Path(__file__).parent / "words.txt"
HELD_OUT = Path(__file__).parent / "held_out"


@dataclass(frozen=True)
class Concept:
    """What several sprites show alike, whatever their style and skin tone.

    name: as the icon sets spell it, without skin tones. nouns: singular phrases without article, the usual one first. rare:
    words that lead to this concept alone in an emoji picker, not always synonyms. rows: per style, (bank row, skin tones).
    """

    name: str
    group: str
    nouns: tuple[str, ...]
    rare: tuple[str, ...]
    rows: Mapping[str, tuple[tuple[int, tuple[str, ...] | None], ...]]
    is_familiar: bool

    @property
    def is_person(self) -> bool:
        """Whether its sprites come in skin tones."""
        return any(tones for rows in self.rows.values() for _, tones in rows)


@dataclass(frozen=True)
class HeldOut:
    """What no training picture shows and no training caption says; read from committed lists.

    styles: (concept, style) pairs. relations: unordered pairs of concepts that never stand in a named relation. templates:
    wordings of whole captions.
    """

    styles: frozenset[tuple[str, str]]
    relations: frozenset[frozenset[str]]
    templates: frozenset[str]

    @classmethod
    def read(cls, folder: Path = HELD_OUT) -> HeldOut:
        """Read `object-styles.txt`, `relations.txt` (two names a line) and `templates.txt`. Raises DataError."""
        styles = frozenset((concept, style) for concept, style in _pairs(folder / "object-styles.txt"))
        relations = frozenset(frozenset(pair) for pair in _pairs(folder / "relations.txt"))
        return cls(styles, relations, frozenset(_lines(folder / "templates.txt")))


class Vocabulary:
    """The concepts of a sprite bank by name."""

    def __init__(self, infos: Sequence[SpriteInfo], words: Path = WORDS) -> None:
        """infos: of the bank, row by row. words: the hand-written phrases of familiar concepts. Raises DataError."""
        self.phrases = {entry.name: tuple(bare(phrase) for phrase in entry.phrases) for entry in read_objects(words)}
        rows: dict[str, dict[str, list[tuple[int, tuple[str, ...] | None]]]] = defaultdict(lambda: defaultdict(list))
        first: dict[str, SpriteInfo] = {}
        for row, info in enumerate(infos):
            if info.group is not None:
                rows[info.base][info.style].append((row, info.skin_tone))
                if info.base not in first or (first[info.base].skin_tone and not info.skin_tone):
                    first[info.base] = info
        used = Counter(tag for info in first.values() for tag in info.tags)
        self.concepts = {
            name: self._concept(first[name], {style: tuple(found) for style, found in by_style.items()}, used)
            for name, by_style in sorted(rows.items())
        }

    def __getitem__(self, name: str) -> Concept:
        """The concept of that name. Raises DataError."""
        if name not in self.concepts:
            raise DataError(f"no sprite shows a concept called {name!r}")
        return self.concepts[name]

    @cached_property
    def everyday(self) -> tuple[Concept, ...]:
        """Things, animals, food, places: what people ask for, without the 24 clock faces."""
        return tuple(c for c in self.concepts.values() if c.group in EVERYDAY and not _is_clock_face(c.name))

    @cached_property
    def familiar(self) -> tuple[Concept, ...]:
        """Concepts with hand-written phrases."""
        return tuple(c for c in self.concepts.values() if c.is_familiar)

    def of_group(self, group: str) -> tuple[Concept, ...]:
        """The concepts of one emojibase group."""
        return tuple(c for c in self.concepts.values() if c.group == group)

    def _concept(
        self, info: SpriteInfo, rows: Mapping[str, tuple[tuple[int, tuple[str, ...] | None], ...]], used: Counter[str]
    ) -> Concept:
        label = info.label.partition(":")[0] if info.skin_tone else info.label.replace(":", "")
        own = self.phrases.get(info.base)
        nouns = tuple(dict.fromkeys((*(own or ()), label.lower())))
        rare = tuple(tag for tag in info.tags if used[tag] == 1 and tag.isalpha() and tag not in label)
        return Concept(info.base, info.group or "", nouns, rare, rows, own is not None)


def _is_clock_face(name: str) -> bool:
    return name.endswith(("-oclock", "-thirty"))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}") from error
    return [line for line in lines if line and not line.startswith("#")]


def _pairs(path: Path) -> list[tuple[str, str]]:
    pairs = []
    for line in _lines(path):
        first, blank, second = line.partition(" ")
        if not (blank and second) or " " in second:
            raise DataError(f"{path}: want two names a line, found {json.dumps(line)}")
        pairs.append((first, second))
    return pairs
