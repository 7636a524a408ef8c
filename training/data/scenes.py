"""What a training picture shows: sprites placed on a backdrop, all of it known exactly."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
"""Colours that a sprite can be given in place of its own."""

PLAIN_COLOURS = ("white", "grey", "black", "red", "orange", "yellow", "green", "blue", "purple", "pink")
"""Colours of backdrops."""

PATTERNS = ("gradient", "stripes", "dots", "checks")
SCENERY = ("meadow", "beach", "night", "snow", "sea", "desert")
BACKDROPS = ("plain", *PATTERNS, *SCENERY)

RELATIONS = ("left of", "right of", "above", "below", "on", "inside")


@dataclass(frozen=True)
class Placed:
    """One sprite in a scene.

    sprite: its row in the sprite bank. concept: its name without skin tones. colour: one of `COLOURS` in place of its own, or
    None. x, y: its centre, from the left and from the top; size: its side; all as shares of the picture's side.
    """

    sprite: int
    concept: str
    colour: str | None
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Backdrop:
    """What lies behind the objects. kind: one of `BACKDROPS`. colours: one of `PLAIN_COLOURS` for plain, two for a pattern,
    none for scenery."""

    kind: str
    colours: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """Objects from back to front on a backdrop, and the caption that says so.

    style: the sprites' set ("flat", "3d" …), the same for all. relation: where the caption names one, of the second object to
    the first, which is drawn before it: what is on or inside another lies over it. count: of equal objects, where the caption
    names it.
    """

    objects: tuple[Placed, ...]
    backdrop: Backdrop
    style: str
    relation: str | None
    count: int | None
    caption: str
