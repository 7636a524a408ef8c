"""Which concepts and which of their sprites chance scenes take, never in a style that is held out."""

from __future__ import annotations

import random
from collections.abc import Container, Mapping

from training.data.scenes import COLOURS, Placed
from training.data.shares import Shares, weighted
from training.data.vocabulary import Concept, HeldOut, Vocabulary


class Pools:
    """The concepts of a vocabulary by their shares.

    colourable: the bank's rows that show a colour that they are given.
    """

    def __init__(self, vocabulary: Vocabulary, held_out: HeldOut, shares: Shares, colourable: Container[int]) -> None:
        self.vocabulary, self.held_out, self.shares, self.colourable = vocabulary, held_out, shares, colourable
        self._pools: dict[tuple[str, str], tuple[Concept, ...]] = {}
        self._commonest: dict[str, tuple[tuple[Concept, str], ...]] = {}

    def concept(self, style: str, rng: random.Random) -> Concept:
        """One for a scene where it stands alone, shown in the style."""
        return rng.choice(self._of(weighted(self.shares.concepts, rng), style))

    def companion(self, style: str, rng: random.Random, *, apart_from: Concept | None = None) -> Concept:
        """One for a scene of several, shown in the style. apart_from: what it shall be able to stand in a relation to."""
        while True:
            chosen = rng.choice(self._of(weighted(self._company, rng), style))
            if apart_from is None:
                return chosen
            if chosen.name != apart_from.name and frozenset((chosen.name, apart_from.name)) not in self.held_out.relations:
                return chosen

    def concept_and_style(self, rng: random.Random) -> tuple[Concept, str]:
        """One, and the style that comes most of those which it may be shown in."""
        return rng.choice(self._in_commonest(weighted(self.shares.concepts, rng)))

    def companion_and_style(self, rng: random.Random) -> tuple[Concept, str]:
        """The same of the concepts for scenes of several."""
        return rng.choice(self._in_commonest(weighted(self._company, rng)))

    def colour(self, rng: random.Random) -> str | None:
        """A colour to give to an object, at times."""
        return rng.choice(COLOURS) if rng.random() < self.shares.recoloured else None

    def place(
        self, concept: Concept, style: str, rng: random.Random, at: tuple[float, float, float], colour: str | None
    ) -> Placed:
        """A chance sprite of the concept, every skin tone as likely as the others. at: x, y, size."""
        row, _ = rng.choice(concept.rows[style])
        return Placed(row, concept.name, colour if row in self.colourable else None, *at)

    @property
    def _company(self) -> Mapping[str, float]:
        return self.shares.company or self.shares.concepts

    def _of(self, name: str, style: str) -> tuple[Concept, ...]:
        """The concepts of one share that may be shown in this style."""
        if (name, style) not in self._pools:
            of = self.vocabulary
            every = {"familiar": of.familiar, "everyday": of.everyday}.get(name) or of.of_group(name)
            self._pools[name, style] = tuple(
                c for c in every if style in c.rows and (c.name, style) not in self.held_out.styles
            )
        return self._pools[name, style]

    def _in_commonest(self, name: str) -> tuple[tuple[Concept, str], ...]:
        """The concepts of one share, each with the commonest style that it may be shown in."""
        if name not in self._commonest:
            styles = sorted(self.shares.styles, key=self.shares.styles.__getitem__)
            best = {concept.name: (concept, style) for style in styles for concept in self._of(name, style)}
            self._commonest[name] = tuple(best.values())  # the commonest style came last
        return self._commonest[name]
