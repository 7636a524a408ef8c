"""What chance scenes are made of, and how often."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Shares:
    """How often each kind of scene, style, concept, backdrop and recolouring comes; weights, not sums to 1.

    kinds: a portrait leaves nothing to chance but what it shows. portraits: which kinds of them come, in the words of
    `Portraits`. company: the concepts of scenes with several objects and of coloured portraits, where they shall be fewer or
    easier than elsewhere. small: how often an object that stands alone is small; else its side is one of `large_sizes`, as
    shares of the picture's.
    """

    kinds: Mapping[str, float] = field(
        default_factory=lambda: {"single": 0.5, "count": 0.17, "relation": 0.25, "several": 0.08}
    )
    portraits: Mapping[str, float] = field(default_factory=lambda: {"bare": 1.0})
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


def weighted(shares: Mapping[str, float], rng: random.Random) -> str:
    """One of the keys, as often as its share says."""
    return rng.choices(tuple(shares), tuple(shares.values()))[0]
