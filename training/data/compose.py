"""Scenes → pictures and who owns each pixel, a batch at once, on the device where the sprites lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.backdrops import paint
from training.data.colours import colourise
from training.data.scenes import Placed, Scene
from training.data.sprite_bank import SpriteBank


@dataclass(frozen=True)
class Composed:
    """B pictures. pixels: (B, 3, S, S) float32 in [-1, 1]. owners: (B, S, S) uint8, 0 the backdrop, k the k-th object where it
    covers more than half of a pixel and nothing lies over it."""

    pixels: Tensor
    owners: Tensor


@torch.no_grad()
def compose(scenes: Sequence[Scene], bank: SpriteBank, size_px: int) -> Composed:
    """Draw the scenes, objects back to front over their backdrops (Porter and Duff 1984, "over", in sRGB values).

    There is no chance in it: the same scenes are the same pixels.
    """
    pixels = paint(scenes, size_px, bank.device)
    owners = torch.zeros(len(scenes), size_px, size_px, dtype=torch.uint8, device=bank.device)
    for depth in range(max((len(scene.objects) for scene in scenes), default=0)):
        for level, group in _by_level(scenes, depth, bank, size_px).items():
            at = torch.tensor([row for row, _ in group], device=bank.device)
            layer = _draw([placed for _, placed in group], bank, level, size_px)
            pixels[at] = layer[:, :3] + (1 - layer[:, 3:]) * pixels[at]
            owners[at] = torch.where(layer[:, 3] > 0.5, depth + 1, owners[at])
    return Composed(pixels.mul_(2).sub_(1).clamp_(-1, 1), owners)


def _by_level(scenes: Sequence[Scene], depth: int, bank: SpriteBank, size_px: int) -> dict[int, list[tuple[int, Placed]]]:
    """The objects at that depth with the rows of their scenes, grouped by the level that they are read from."""
    groups: dict[int, list[tuple[int, Placed]]] = defaultdict(list)
    for row, scene in enumerate(scenes):
        if depth < len(scene.objects):
            placed = scene.objects[depth]
            groups[bank.level_for(placed.size * size_px)].append((row, placed))
    return groups


def _draw(objects: Sequence[Placed], bank: SpriteBank, level: int, size_px: int) -> Tensor:
    """(n, 4, size_px, size_px) in [0, 1], premultiplied: each object in its place on a transparent layer."""
    pixels = bank.levels[level]
    where = torch.tensor([(placed.sprite, placed.x, placed.y, placed.size) for placed in objects], dtype=torch.float64)
    sprites = pixels[where[:, 0].long().to(bank.device)].float() / 255
    if named := [(at, placed.colour) for at, placed in enumerate(objects) if placed.colour is not None]:
        rows = torch.tensor([at for at, _ in named], device=bank.device)
        sprites[rows] = colourise(sprites[rows], [colour for _, colour in named])
    x, y, side = where[:, 1:].float().to(bank.device).unbind(1)
    across, down = coverage(x, side, level, size_px), coverage(y, side, level, size_px)
    rows_done = down @ sprites.permute(0, 2, 1, 3).flatten(2)
    layer = rows_done.reshape(len(objects), size_px * 4, level) @ across.mT
    return layer.reshape(len(objects), size_px, 4, size_px).transpose(1, 2)


def coverage(centre: Tensor, side: Tensor, level: int, size_px: int) -> Tensor:
    """(n, size_px, level): how much of each texel lies under each pixel, along one axis; the axes are independent.

    A pixel's footprint on the sprite is a box, one texel wide at least: area averaging where the sprite shrinks, linear
    interpolation where it grows. centre, side: (n,), shares of the picture's side. What lies beyond the sprite is transparent.
    """
    texels = level / (side * size_px)[:, None, None]
    pixel = torch.arange(size_px, device=centre.device)[:, None] + 0.5
    middle = (pixel - (centre - side / 2)[:, None, None] * size_px) * texels
    footprint = texels.clamp_min(1)
    texel = torch.arange(level, device=centre.device)
    overlap = torch.minimum(middle + footprint / 2, texel + 1) - torch.maximum(middle - footprint / 2, texel)
    return overlap.clamp_min(0) / footprint
