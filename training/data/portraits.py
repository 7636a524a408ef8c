"""Portraits: scenes that leave nothing to chance but what they show, which are learned sooner than others."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from training.data import phrasing
from training.data.pools import Pools
from training.data.scenes import COLOURS, RELATIONS, Backdrop, Placed, Scene
from training.data.shares import weighted

Place = tuple[float, float, float]
"""Of one object: x, y and size."""

WHITE = Backdrop("plain", ("white",))
ALONE: Place = (0.5, 0.5, 0.9)
COUNTED: Mapping[int, tuple[Place, ...]] = {
    2: ((0.27, 0.5, 0.46), (0.73, 0.5, 0.46)),
    3: ((0.5, 0.27, 0.42), (0.27, 0.73, 0.42), (0.73, 0.73, 0.42)),
    4: ((0.27, 0.27, 0.44), (0.73, 0.27, 0.44), (0.27, 0.73, 0.44), (0.73, 0.73, 0.44)),
    5: ((0.19, 0.19, 0.32), (0.81, 0.19, 0.32), (0.5, 0.5, 0.32), (0.19, 0.81, 0.32), (0.81, 0.81, 0.32)),
}
"""Of equal objects."""
LOW, HIGH = 0.27, 0.73
RELATED: Mapping[str, tuple[Place, Place]] = {
    "left of": ((LOW, 0.5, 0.46), (HIGH, 0.5, 0.46)),
    "right of": ((HIGH, 0.5, 0.46), (LOW, 0.5, 0.46)),
    "above": ((0.5, LOW, 0.46), (0.5, HIGH, 0.46)),
    "below": ((0.5, HIGH, 0.46), (0.5, LOW, 0.46)),
    "on": ((0.5, 0.28, 0.44), (0.5, 0.7, 0.5)),
    "inside": ((0.5, 0.5, 0.38), (0.5, 0.5, 0.95)),
}
"""Of the first and of the second of two."""


class Portraits:
    """Sprites as they are, in fixed places on white, in the commonest style that is not held out or the one that is named.

    Kinds, for `Shares.portraits`: bare, one thing under its name; styled, one whose caption names the style; coloured, one in a
    colour; counted, two to five of it; related, two things in a relation.
    """

    def __init__(self, pools: Pools) -> None:
        self.pools = pools

    def draw(self, style: str, templates: Sequence[str], rng: random.Random) -> Scene:
        """One portrait. style: of a styled one. templates: those that captions are made by."""
        kind = weighted(self.pools.shares.portraits, rng)
        if kind == "counted":
            return self._counted(templates, rng)
        if kind == "related":
            return self._related(templates, rng)
        if kind == "styled":
            concept = self.pools.concept(style, rng)
        elif kind == "coloured":
            concept, style = self.pools.companion_and_style(rng)
        else:
            concept, style = self.pools.concept_and_style(rng)
        colour = rng.choice(COLOURS) if kind == "coloured" else None
        placed = self.pools.place(concept, style, rng, ALONE, colour)
        subject = phrasing.object_phrase(concept, placed, rng)
        caption = phrasing.frame(subject, "", style if kind == "styled" else None, templates, rng)
        return Scene((placed,), WHITE, style, None, None, caption)

    def _counted(self, templates: Sequence[str], rng: random.Random) -> Scene:
        concept, style = self.pools.companion_and_style(rng)
        count = rng.choice(tuple(COUNTED))
        first = self.pools.place(concept, style, rng, ALONE, None)
        objects = tuple(Placed(first.sprite, concept.name, None, *at) for at in COUNTED[count])
        subject = phrasing.counted_phrase(phrasing.choose_noun(concept, rng), None, count)
        return Scene(objects, WHITE, style, None, count, phrasing.frame(subject, "", None, templates, rng))

    def _related(self, templates: Sequence[str], rng: random.Random) -> Scene:
        first, style = self.pools.companion_and_style(rng)
        second = self.pools.companion(style, rng, apart_from=first)
        relation = rng.choice(RELATIONS)
        pair = [
            self.pools.place(concept, style, rng, at, None)
            for concept, at in zip((first, second), RELATED[relation], strict=True)
        ]
        said = [phrasing.object_phrase(concept, placed, rng) for concept, placed in zip((first, second), pair, strict=True)]
        subject = phrasing.related_phrase(said[0], relation, said[1], rng)
        caption = phrasing.frame(subject, "", None, templates, rng)
        return Scene(tuple(reversed(pair)), WHITE, style, relation, None, caption)  # the first may lie on the second
