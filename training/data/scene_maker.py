"""Chance scenes: what stands where, in which style and colour, on what, and the caption that says so."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field

from training.data import phrasing
from training.data.labels import SpriteInfo
from training.data.scenes import BACKDROPS, COLOURS, PATTERNS, PLAIN_COLOURS, RELATIONS, Backdrop, Placed, Scene
from training.data.vocabulary import Concept, HeldOut, Vocabulary

COUNT_PLACES: Mapping[int, tuple[tuple[tuple[float, float], ...], ...]] = {
    2: (((0.27, 0.5), (0.73, 0.5)), ((0.5, 0.27), (0.5, 0.73)), ((0.3, 0.3), (0.7, 0.7))),
    3: (((0.19, 0.5), (0.5, 0.5), (0.81, 0.5)), ((0.5, 0.26), (0.27, 0.72), (0.73, 0.72))),
    4: (((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),),
    5: (
        ((0.2, 0.2), (0.8, 0.2), (0.5, 0.5), (0.2, 0.8), (0.8, 0.8)),
        ((0.2, 0.3), (0.5, 0.3), (0.8, 0.3), (0.35, 0.7), (0.65, 0.7)),
    ),
}  # fmt: skip
"""Arrangements of equal objects: their centres."""
COUNT_SIZES = {2: (0.36, 0.46), 3: (0.28, 0.34), 4: (0.32, 0.44), 5: (0.24, 0.32)}
PORTRAIT_SIZE = 0.9
"""Of a portrait's sprite, as a share of the picture's side."""


@dataclass(frozen=True)
class Shares:
    """How often each kind of scene, style, concept, backdrop and recolouring comes; weights, not sums to 1.

    kinds: a portrait is one sprite as it is, alone in the middle on white, in the style that comes most, and its caption names
    neither style nor backdrop: what is drawn of a thing when nothing else is said. company: the concepts of scenes with several
    objects, where they shall be fewer or easier than elsewhere. small: how often an object that stands alone is small; else its
    side is one of `large_sizes`, as shares of the picture's.
    """

    kinds: Mapping[str, float] = field(
        default_factory=lambda: {"single": 0.5, "count": 0.17, "relation": 0.25, "several": 0.08}
    )
    styles: Mapping[str, float] = field(
        default_factory=lambda: {"flat": 0.4, "fluent": 0.15, "3d": 0.15, "noto": 0.15, "twemoji": 0.15}
    )
    concepts: Mapping[str, float] = field(
        default_factory=lambda: {
            "familiar": 0.35,
            "everyday": 0.5,
            "people-body": 0.08,
            "smileys-emotion": 0.04,
            "symbols": 0.03,
        }
    )
    company: Mapping[str, float] | None = None
    backdrops: Mapping[str, float] = field(
        default_factory=lambda: {"white": 0.4, "plain": 0.3, "patterns": 0.14, "scenery": 0.16}
    )
    recoloured: float = 0.2
    names_style: float = 0.5
    small: float = 0.2
    large_sizes: tuple[float, float] = (0.7, 0.98)


class SceneMaker:
    """Draws scenes over the sprites of a bank, never one that is held out."""

    def __init__(
        self,
        infos: Sequence[SpriteInfo],
        held_out: HeldOut,
        shares: Shares | None = None,
        colourable: Container[int] | None = None,
    ) -> None:
        """colourable: the bank's rows that show a colour that they are given; None: all do."""
        self.vocabulary, self.held_out, self.shares = Vocabulary(infos), held_out, shares or Shares()
        self.colourable = range(len(infos)) if colourable is None else colourable
        self.templates = [t for t in (*phrasing.TEMPLATES, *phrasing.STYLED_TEMPLATES) if t not in held_out.templates]
        self._pools: dict[tuple[str, str], tuple[Concept, ...]] = {}
        self._portraits: dict[str, tuple[tuple[Concept, str], ...]] = {}

    def draw(self, rng: random.Random) -> Scene:
        """One scene; the same generator state gives the same scene."""
        makers: dict[str, Callable[[str, random.Random], tuple[tuple[Placed, ...], str, str | None, int | None]]] = {
            "single": self._single, "count": self._count, "relation": self._relation, "several": self._several
        }  # fmt: skip
        style, kind = _weighted(self.shares.styles, rng), _weighted(self.shares.kinds, rng)
        if kind == "portrait":
            return self._portrait(rng)
        objects, subject, relation, count = makers[kind](style, rng)
        backdrop = self._backdrop(rng, {placed.colour for placed in objects})
        named = style if rng.random() < self.shares.names_style else None
        caption = phrasing.frame(subject, phrasing.backdrop_phrase(backdrop, rng), named, self.templates, rng)
        return Scene(objects, backdrop, style, relation, count, caption)

    def place(
        self, concept: Concept, style: str, rng: random.Random, at: tuple[float, float, float], colour: str | None
    ) -> Placed:
        """A chance sprite of the concept, every skin tone as likely as the others. at: x, y, size."""
        row, _ = rng.choice(concept.rows[style])
        return Placed(row, concept.name, colour if row in self.colourable else None, *at)

    def _portrait(self, rng: random.Random) -> Scene:
        concept, style = rng.choice(self._pool_of_portraits(_weighted(self.shares.concepts, rng)))
        placed = self.place(concept, style, rng, (0.5, 0.5, PORTRAIT_SIZE), None)
        caption = phrasing.frame(self._phrase(concept, placed, rng), "", None, self.templates, rng)
        return Scene((placed,), Backdrop("plain", ("white",)), style, None, None, caption)

    def _single(self, style: str, rng: random.Random) -> tuple[tuple[Placed, ...], str, str | None, int | None]:
        concept, colour = self._concept(style, rng), self._colour(rng)
        is_small = rng.random() < self.shares.small
        size = rng.uniform(0.3, 0.5) if is_small else rng.uniform(*self.shares.large_sizes)
        room = (1 - size) / 2
        x, y = 0.5 + rng.uniform(-room, room), 0.5 + rng.uniform(-room, room)
        placed = self.place(concept, style, rng, (x, y, size), colour)
        said = ("small" if is_small else "big") if rng.random() < (0.4 if is_small else 0.1) else None
        subject = self._phrase(concept, placed, rng, size=said)
        if is_small and rng.random() < 0.5:
            subject += _where(x, y)
        return (placed,), subject, None, None

    def _count(self, style: str, rng: random.Random) -> tuple[tuple[Placed, ...], str, str | None, int | None]:
        concept, colour = self._companion(style, rng), self._colour(rng)
        count = rng.choice((2, 2, 3, 3, 4, 5))
        places, size = rng.choice(COUNT_PLACES[count]), rng.uniform(*COUNT_SIZES[count])
        first = self.place(concept, style, rng, (0.5, 0.5, size), colour)
        objects = tuple(
            Placed(first.sprite, concept.name, first.colour, x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03), size)
            for x, y in places
        )
        noun = phrasing.choose_noun(concept, rng, is_recoloured=first.colour is not None)
        return objects, phrasing.counted_phrase(noun, first.colour, count), None, count

    def _relation(self, style: str, rng: random.Random) -> tuple[tuple[Placed, ...], str, str | None, int | None]:
        first = self._companion(style, rng)
        second = self._companion(style, rng)
        while second.name == first.name or frozenset((first.name, second.name)) in self.held_out.relations:
            second = self._companion(style, rng)
        relation = rng.choice(RELATIONS)
        places = relation_places(relation, rng)
        pair = [
            self.place(concept, style, rng, at, self._colour(rng)) for concept, at in zip((first, second), places, strict=True)
        ]
        said = [self._phrase(concept, placed, rng) for concept, placed in zip((first, second), pair, strict=True)]
        subject = f"{said[0]} {rng.choice(phrasing.RELATION_WORDS[relation])} {said[1]}"
        if rng.random() < 0.2:  # named only, not placed
            return tuple(reversed(pair)), f"{said[0]} and {said[1]}", None, None
        return tuple(reversed(pair)), subject, relation, None  # the second is drawn first: the first may lie on it or in it

    def _several(self, style: str, rng: random.Random) -> tuple[tuple[Placed, ...], str, str | None, int | None]:
        places, size = rng.choice(COUNT_PLACES[3]), rng.uniform(*COUNT_SIZES[3])
        concepts = [self._companion(style, rng) for _ in places]
        objects = tuple(
            self.place(concept, style, rng, (x, y, size), self._colour(rng))
            for concept, (x, y) in zip(concepts, places, strict=True)
        )
        said = [self._phrase(concept, placed, rng) for concept, placed in zip(concepts, objects, strict=True)]
        return objects, f"{said[0]}, {said[1]} and {said[2]}", None, None

    def _phrase(self, concept: Concept, placed: Placed, rng: random.Random, *, size: str | None = None) -> str:
        noun = phrasing.choose_noun(concept, rng, is_recoloured=placed.colour is not None)
        tones = next((tones for rows in concept.rows.values() for row, tones in rows if row == placed.sprite), None)
        return phrasing.noun_phrase(noun, placed, tones if rng.random() < 0.8 else None, size=size)

    def _concept(self, style: str, rng: random.Random) -> Concept:
        return rng.choice(self._pool(_weighted(self.shares.concepts, rng), style))

    def _companion(self, style: str, rng: random.Random) -> Concept:
        return rng.choice(self._pool(_weighted(self.shares.company or self.shares.concepts, rng), style))

    def _pool(self, name: str, style: str) -> tuple[Concept, ...]:
        """The concepts of one share that may be shown in this style."""
        if (name, style) not in self._pools:
            of = self.vocabulary
            every = {"familiar": of.familiar, "everyday": of.everyday}.get(name) or of.of_group(name)
            self._pools[name, style] = tuple(
                c for c in every if style in c.rows and (c.name, style) not in self.held_out.styles
            )
        return self._pools[name, style]

    def _pool_of_portraits(self, name: str) -> tuple[tuple[Concept, str], ...]:
        """The concepts of one share, each with the commonest style that it may be shown in."""
        if name not in self._portraits:
            styles = sorted(self.shares.styles, key=self.shares.styles.__getitem__)
            best = {concept.name: (concept, style) for style in styles for concept in self._pool(name, style)}
            self._portraits[name] = tuple(best.values())  # the commonest style came last
        return self._portraits[name]

    def _colour(self, rng: random.Random) -> str | None:
        return rng.choice(COLOURS) if rng.random() < self.shares.recoloured else None

    def _backdrop(self, rng: random.Random, shown: Collection[str | None]) -> Backdrop:
        """shown: colours given to objects, which would be lost on a backdrop of the same."""
        kind = _weighted(self.shares.backdrops, rng)
        others = [colour for colour in PLAIN_COLOURS if colour not in shown]
        if kind == "white":
            return Backdrop("plain", ("white",))
        if kind == "plain":
            return Backdrop("plain", (rng.choice(others[1:]),))
        if kind == "patterns":
            first, second = rng.sample(others, 2)
            return Backdrop(rng.choice(PATTERNS), (first, second))
        return Backdrop(rng.choice(BACKDROPS[1 + len(PATTERNS) :]), ())


def relation_places(relation: str, rng: random.Random) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """x, y and size of the first and of the second object of a relation, with some chance in them."""
    shift, near = rng.uniform(-0.06, 0.06), rng.uniform(0.36, 0.46)
    if relation == "inside":
        return (0.5 + shift, 0.5 + shift, rng.uniform(0.3, 0.4)), (0.5, 0.5, rng.uniform(0.85, 0.98))
    if relation == "on":
        return (0.5 + shift, 0.28, near), (0.5, 0.28 + near * 0.9 + 0.02, rng.uniform(0.44, 0.52))
    low, high = (0.26, 0.5 + shift, near), (0.74, 0.5 - shift, rng.uniform(0.36, 0.46))
    if relation in ("above", "below"):
        low, high = (low[1], low[0], low[2]), (high[1], high[0], high[2])
    return (low, high) if relation in ("left of", "above") else (high, low)


def _where(x: float, y: float) -> str:
    column = "left" if x < 0.42 else "right" if x > 0.58 else ""
    row = "top" if y < 0.42 else "bottom" if y > 0.58 else ""
    if column and row:
        return f" in the {row} {column} corner"
    if column:
        return f" on the {column}"
    return f" at the {row}" if row else " in the middle"


def _weighted(shares: Mapping[str, float], rng: random.Random) -> str:
    return rng.choices(tuple(shares), tuple(shares.values()))[0]
