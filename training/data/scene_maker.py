"""Chance scenes: what stands where, in which style and colour, on what, and the caption that says so."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Container, Mapping, Sequence

from training.data import phrasing
from training.data.labels import SpriteInfo
from training.data.pools import Pools
from training.data.portraits import WHITE, Portraits
from training.data.scenes import BACKDROPS, PATTERNS, PLAIN_COLOURS, RELATIONS, Backdrop, Placed, Scene
from training.data.shares import Shares, weighted
from training.data.vocabulary import HeldOut, Vocabulary

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
        self.vocabulary, self.shares = Vocabulary(infos), shares or Shares()
        self.pools = Pools(self.vocabulary, held_out, self.shares, range(len(infos)) if colourable is None else colourable)
        self.portraits = Portraits(self.pools)
        self.templates = [t for t in (*phrasing.TEMPLATES, *phrasing.STYLED_TEMPLATES) if t not in held_out.templates]

    def draw(self, rng: random.Random) -> Scene:
        """One scene; the same generator state gives the same scene."""
        makers: dict[str, Callable[[str, random.Random], tuple[tuple[Placed, ...], str, str | None, int | None]]] = {
            "single": self._single, "count": self._count, "relation": self._relation, "several": self._several
        }  # fmt: skip
        style, kind = weighted(self.shares.styles, rng), weighted(self.shares.kinds, rng)
        if kind == "portrait":
            return self.portraits.draw(style, self.templates, rng)
        objects, subject, relation, count = makers[kind](style, rng)
        backdrop = self._backdrop(rng, {placed.colour for placed in objects})
        named = style if rng.random() < self.shares.names_style else None
        caption = phrasing.frame(subject, phrasing.backdrop_phrase(backdrop, rng), named, self.templates, rng)
        return Scene(objects, backdrop, style, relation, count, caption)

    def _single(self, style: str, rng: random.Random) -> tuple[tuple[Placed, ...], str, str | None, int | None]:
        concept, colour = self.pools.concept(style, rng), self.pools.colour(rng)
        is_small = rng.random() < self.shares.small
        size = rng.uniform(0.3, 0.5) if is_small else rng.uniform(*self.shares.large_sizes)
        room = (1 - size) / 2
        x, y = 0.5 + rng.uniform(-room, room), 0.5 + rng.uniform(-room, room)
        placed = self.pools.place(concept, style, rng, (x, y, size), colour)
        said = ("small" if is_small else "big") if rng.random() < (0.4 if is_small else 0.1) else None
        subject = phrasing.object_phrase(concept, placed, rng, size=said)
        if is_small and rng.random() < 0.5:
            subject += _where(x, y)
        return (placed,), subject, None, None

    def _count(self, style: str, rng: random.Random) -> tuple[tuple[Placed, ...], str, str | None, int | None]:
        concept, colour = self.pools.companion(style, rng), self.pools.colour(rng)
        count = rng.choice((2, 2, 3, 3, 4, 5))
        places, size = rng.choice(COUNT_PLACES[count]), rng.uniform(*COUNT_SIZES[count])
        first = self.pools.place(concept, style, rng, (0.5, 0.5, size), colour)
        objects = tuple(
            Placed(first.sprite, concept.name, first.colour, x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03), size)
            for x, y in places
        )
        noun = phrasing.choose_noun(concept, rng, is_recoloured=first.colour is not None)
        return objects, phrasing.counted_phrase(noun, first.colour, count), None, count

    def _relation(self, style: str, rng: random.Random) -> tuple[tuple[Placed, ...], str, str | None, int | None]:
        first = self.pools.companion(style, rng)
        second = self.pools.companion(style, rng, apart_from=first)
        relation = rng.choice(RELATIONS)
        places = relation_places(relation, rng)
        pair = [
            self.pools.place(concept, style, rng, at, self.pools.colour(rng))
            for concept, at in zip((first, second), places, strict=True)
        ]
        said = [phrasing.object_phrase(concept, placed, rng) for concept, placed in zip((first, second), pair, strict=True)]
        subject = phrasing.related_phrase(said[0], relation, said[1], rng)
        if rng.random() < 0.2:  # named only, not placed
            return tuple(reversed(pair)), f"{said[0]} and {said[1]}", None, None
        return tuple(reversed(pair)), subject, relation, None  # the second is drawn first: the first may lie on it or in it

    def _several(self, style: str, rng: random.Random) -> tuple[tuple[Placed, ...], str, str | None, int | None]:
        places, size = rng.choice(COUNT_PLACES[3]), rng.uniform(*COUNT_SIZES[3])
        concepts = [self.pools.companion(style, rng) for _ in places]
        objects = tuple(
            self.pools.place(concept, style, rng, (x, y, size), self.pools.colour(rng))
            for concept, (x, y) in zip(concepts, places, strict=True)
        )
        said = [phrasing.object_phrase(concept, placed, rng) for concept, placed in zip(concepts, objects, strict=True)]
        return objects, f"{said[0]}, {said[1]} and {said[2]}", None, None

    def _backdrop(self, rng: random.Random, shown: Collection[str | None]) -> Backdrop:
        """shown: colours given to objects, which would be lost on a backdrop of the same."""
        kind = weighted(self.shares.backdrops, rng)
        others = [colour for colour in PLAIN_COLOURS if colour not in shown]
        if kind == "white":
            return WHITE
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
