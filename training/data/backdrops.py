"""What lies behind the objects: plain colours, patterns and simple scenery, painted without chance from what the scene says.

Painters work in shares of the picture's side, x to the right and y down, so a backdrop looks the same at any size; edges are
one pixel soft.
"""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import tau

import torch
from torch import Tensor

from training.data.colours import BACKDROP_RGB
from training.data.scenes import Scene

CHANCES = 6
"""Numbers in [0, 1) that a painter has to vary its picture by."""
STARS = 24


@dataclass(frozen=True)
class Canvas:
    """n backdrops to be painted. colours: (n, 2, 3, 1, 1). chance: (n, CHANCES), each (n, 1, 1). x: (1, 1, S), y: (1, S, 1)."""

    colours: Tensor
    chance: tuple[Tensor, ...]
    x: Tensor
    y: Tensor

    def inside(self, distance: Tensor) -> Tensor:
        """(n, 1, S, S): 1 where a signed distance (n, S, S), in shares of the side, is below 0; one pixel soft."""
        return (0.5 - distance * self.x.shape[-1]).clamp(0, 1)[:, None]

    def disc(self, x: Tensor | float, y: Tensor | float, radius: Tensor | float) -> Tensor:
        """(n, 1, S, S): a disc."""
        return self.inside(((self.x - x).square() + (self.y - y).square()).sqrt() - radius)

    def below(self, line: Tensor) -> Tensor:
        """(n, 1, S, S): what lies below the line y = line(x), (n, 1, S)."""
        return self.inside(line - self.y)

    def fade(self, top: Sequence[float], bottom: Sequence[float]) -> Tensor:
        """(1, 3, S, S): from one RGB at the top to another at the bottom."""
        first, last = (self.x.new_tensor(rgb).reshape(1, 3, 1, 1) for rgb in (top, bottom))
        return torch.lerp(first, last, self.y[:, None]).expand(-1, -1, -1, self.x.shape[-1])

    def rgb(self, red: float, green: float, blue: float) -> Tensor:
        """(1, 3, 1, 1)."""
        return self.x.new_tensor([red, green, blue]).reshape(1, 3, 1, 1)


def paint(scenes: Sequence[Scene], size_px: int, device: torch.device) -> Tensor:
    """(B, 3, size_px, size_px) in [0, 1]: the scenes' backdrops. What varies within a kind is told by the scene itself."""
    pixels = torch.empty(len(scenes), 3, size_px, size_px, device=device)
    groups: dict[str, list[int]] = defaultdict(list)
    for row, scene in enumerate(scenes):
        groups[scene.backdrop.kind].append(row)
    middle = (torch.arange(size_px, device=device) + 0.5) / size_px
    for kind, rows in groups.items():
        chosen = [scenes[row] for row in rows]
        colours = torch.tensor([_colours(scene) for scene in chosen], device=device)[..., None, None]
        chance = torch.tensor([_chance(scene) for scene in chosen], device=device)
        canvas = Canvas(colours, chance[..., None, None].unbind(1), middle[None, None, :], middle[None, :, None])
        pixels[torch.tensor(rows, device=device)] = PAINTERS[kind](canvas).expand(len(rows), -1, size_px, size_px)
    return pixels


def _colours(scene: Scene) -> list[tuple[float, float, float]]:
    named = [BACKDROP_RGB[name] for name in scene.backdrop.colours] or [(0.0, 0.0, 0.0)]
    return [named[0], named[-1]]


def _chance(scene: Scene) -> list[float]:
    # Neither the caption nor the order of scenes: a scene told in other words has the same pixels.
    places = repr([(placed.x, placed.y, placed.size) for placed in scene.objects])
    draw = random.Random(zlib.crc32(places.encode()))
    return [draw.random() for _ in range(CHANCES)]


def _plain(canvas: Canvas) -> Tensor:
    return canvas.colours[:, 0]


def _gradient(canvas: Canvas) -> Tensor:
    angle = tau * canvas.chance[0]
    along = (canvas.x - 0.5) * angle.cos() + (canvas.y - 0.5) * angle.sin()
    return _two(canvas, (along * 1.2 + 0.5).clamp(0, 1)[:, None])


def _stripes(canvas: Canvas) -> Tensor:
    angle = tau / 8 * (canvas.chance[0] * 4).floor()
    along = canvas.x * angle.cos() + canvas.y * angle.sin()
    return _two(canvas, canvas.inside(_wave(along, 0.14 + 0.14 * canvas.chance[1], canvas.chance[2])))


def _dots(canvas: Canvas) -> Tensor:
    period = 0.14 + 0.1 * canvas.chance[0]
    x, y = ((axis / period + shift) % 1 - 0.5 for axis, shift in ((canvas.x, canvas.chance[1]), (canvas.y, canvas.chance[2])))
    radius = 0.24 + 0.08 * canvas.chance[3]
    return _two(canvas, canvas.inside(((x.square() + y.square()).sqrt() - radius) * period))


def _checks(canvas: Canvas) -> Tensor:
    period = 0.2 + 0.2 * canvas.chance[0]
    x, y = (
        canvas.inside(_wave(axis, period, shift)) for axis, shift in zip((canvas.x, canvas.y), canvas.chance[1:], strict=False)
    )
    return _two(canvas, x + y - 2 * x * y)


def _meadow(canvas: Canvas) -> Tensor:
    sky = canvas.fade((0.45, 0.73, 0.97), (0.86, 0.95, 1.0))
    far = canvas.below(_hills(canvas, 0.48, 0.06, 0))
    near = canvas.below(_hills(canvas, 0.66, 0.05, 2))
    picture = torch.lerp(sky, canvas.rgb(0.60, 0.82, 0.42), far)
    return torch.lerp(picture, canvas.fade((0.55, 0.80, 0.35), (0.30, 0.62, 0.22)), near)


def _beach(canvas: Canvas) -> Tensor:
    sky = canvas.fade((0.40, 0.74, 0.98), (0.85, 0.96, 1.0))
    sea = canvas.below((0.38 + 0.06 * canvas.chance[0]).expand(-1, 1, canvas.x.shape[-1]))
    shore = _hills(canvas, 0.62, 0.03, 1)
    picture = torch.lerp(sky, canvas.rgb(0.10, 0.58, 0.80), sea)
    picture = torch.lerp(picture, canvas.rgb(0.93, 0.98, 1.0), canvas.below(shore - 0.03))
    return torch.lerp(picture, canvas.fade((0.99, 0.91, 0.70), (0.93, 0.78, 0.50)), canvas.below(shore))


def _night(canvas: Canvas) -> Tensor:
    sky = canvas.fade((0.03, 0.04, 0.16), (0.16, 0.16, 0.40)).expand(len(canvas.colours), -1, -1, -1)
    star = canvas.rgb(1.0, 0.98, 0.85)
    for at in range(STARS):
        # Golden-ratio steps spread the stars evenly without a pattern that shows.
        x, y = (canvas.chance[0] + 0.618034 * at) % 1, (canvas.chance[1] + 0.7548777 * at + 0.1 * (at % 3)) % 1
        sky = torch.lerp(sky, star, canvas.disc(x, y, 0.005 + 0.004 * (at % 3)))
    x, y = 0.15 + 0.7 * canvas.chance[2], 0.12 + 0.1 * canvas.chance[3]
    return torch.lerp(sky, canvas.rgb(0.98, 0.93, 0.72), canvas.disc(x, y, 0.07))


def _snow(canvas: Canvas) -> Tensor:
    sky = canvas.fade((0.62, 0.74, 0.86), (0.83, 0.90, 0.95))
    picture = torch.lerp(sky, canvas.rgb(0.88, 0.93, 0.98), canvas.below(_hills(canvas, 0.55, 0.05, 0)))
    picture = torch.lerp(picture, canvas.rgb(0.98, 0.99, 1.0), canvas.below(_hills(canvas, 0.70, 0.04, 2)))
    for at in range(STARS):
        x, y = (canvas.chance[4] + 0.618034 * at) % 1, (canvas.chance[5] + 0.7548777 * at) % 1
        picture = torch.lerp(picture, canvas.rgb(1.0, 1.0, 1.0), canvas.disc(x, y, 0.011 + 0.003 * (at % 3)))
    return picture


def _sea(canvas: Canvas) -> Tensor:
    picture = canvas.fade((0.55, 0.80, 0.98), (0.90, 0.97, 1.0))
    for depth, blue in enumerate(((0.20, 0.62, 0.88), (0.12, 0.50, 0.80), (0.07, 0.39, 0.70), (0.04, 0.29, 0.58))):
        crests = 0.018 * torch.sin(tau * (canvas.x * (2 + 0.3 * depth) + canvas.chance[depth]))
        picture = torch.lerp(picture, canvas.rgb(*blue), canvas.below(0.30 + 0.18 * depth + crests))
    return picture


def _desert(canvas: Canvas) -> Tensor:
    sky = canvas.fade((0.98, 0.72, 0.42), (1.0, 0.92, 0.70))
    picture = torch.lerp(sky, canvas.rgb(1.0, 0.96, 0.80), canvas.disc(0.15 + 0.7 * canvas.chance[4], 0.18, 0.08))
    picture = torch.lerp(picture, canvas.rgb(0.88, 0.62, 0.32), canvas.below(_hills(canvas, 0.52, 0.07, 0)))
    return torch.lerp(picture, canvas.fade((0.92, 0.68, 0.36), (0.78, 0.50, 0.22)), canvas.below(_hills(canvas, 0.70, 0.06, 2)))


def _two(canvas: Canvas, share: Tensor) -> Tensor:
    return torch.lerp(canvas.colours[:, 0], canvas.colours[:, 1], share)


def _wave(along: Tensor, period: Tensor, shift: Tensor) -> Tensor:
    """Signed distance to the odd bands of half a period each."""
    return (((along / period + shift) % 1 - 0.5).abs() - 0.25) * period


def _hills(canvas: Canvas, height: float, swing: float, first: int) -> Tensor:
    """A line (n, 1, S) of two sines. first: which two of the chances tell where they begin."""
    one, two = canvas.chance[first : first + 2]
    return height + swing * (torch.sin(tau * (canvas.x + one)) + 0.5 * torch.sin(tau * (2.3 * canvas.x + two)))


PAINTERS: dict[str, Callable[[Canvas], Tensor]] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "meadow": _meadow,
    "beach": _beach,
    "night": _night,
    "snow": _snow,
    "sea": _sea,
    "desert": _desert,
}
"""By backdrop kind."""
