"""How near is a picture to the nearest sprite? Pixel correlation after both are brought to one place and size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, normalize

SIZE_PX = 64
PAPER = 0.1
"""What differs from white by less than this part of the full range, in every channel, is paper; what differs by more weighs
as much as it exceeds it. A soft edge, because with a hard one noise decides where a pale object lies. Chosen on sprites,
blurred, noisy and tinted."""
RADIUS = 0.36
"""Root mean square distance of the ink from its centroid after framing, as a share of the picture's side."""
CHUNK = 256


@dataclass(frozen=True)
class Nearest:
    """Of each of B pictures the best sprite: rows (B,) int64, and correlations (B,), Pearson's, in [-1, 1]."""

    rows: Tensor
    correlations: Tensor


@torch.inference_mode()
def nearest(pictures: Tensor, sprites: Tensor) -> Nearest:
    """The sprite most like each picture.

    pictures: (B, 3, 64, 64) in [-1, 1], each an object on white. sprites: uint8 (N, 4, 64, 64), colours multiplied by alpha,
    as a `SpriteBank` holds them; read in chunks, for all together would fill a gigabyte as features.
    """
    wanted = features(pictures)
    best, rows = torch.full((len(pictures),), -2.0), torch.zeros(len(pictures), dtype=torch.long)
    for start in range(0, len(sprites), CHUNK):
        found, places = (wanted @ features(on_white(sprites[start : start + CHUNK])).T).max(dim=1)
        rows = torch.where(found > best, places + start, rows)
        best = torch.maximum(found, best)
    return Nearest(rows, best)


def on_white(sprites: Tensor) -> Tensor:
    """Premultiplied uint8 (B, 4, S, S) → (B, 3, S, S) in [-1, 1] (Porter and Duff 1984, "over")."""
    rgba = sprites.cpu().float() / 255
    return (rgba[:, :3] + 1 - rgba[:, 3:]) * 2 - 1


def features(pictures: Tensor) -> Tensor:
    """(B, 3, S, S) in [-1, 1] on white → (B, 3·S·S): framed, mean taken off, length one, so that a dot product of two
    is Pearson's correlation of their pixels, colours kept."""
    flat = framed((1 - pictures) / 2).flatten(1)
    return normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)


def framed(ink: Tensor) -> Tensor:
    """Move and scale each drawing so that its ink lies around the middle within one root mean square radius.

    ink: (B, 3, S, S) in [0, 1], 0 where the paper is white; what comes in from outside is white. Moments, not a bounding box:
    one stray pixel of a drawn picture may not move it.
    """
    side = ink.shape[-1]
    weight = (ink.amax(dim=1) - PAPER).clamp_min(0)  # (B, S, S)
    place = (torch.arange(side, dtype=ink.dtype) + 0.5) * 2 / side - 1  # in affine_grid's unit, half the side
    mass = weight.sum(dim=(1, 2)).clamp_min(1e-6)
    across, down = weight.sum(dim=1), weight.sum(dim=2)  # (B, S)
    x, y = (across @ place) / mass, (down @ place) / mass
    spread = ((across * (place - x[:, None]).square()).sum(dim=1) + (down * (place - y[:, None]).square()).sum(dim=1)) / mass
    scale = spread.sqrt().clamp_min(1 / side) / (2 * RADIUS)
    move = torch.zeros(len(ink), 2, 3, dtype=ink.dtype)
    move[:, 0, 0] = move[:, 1, 1] = scale
    move[:, 0, 2], move[:, 1, 2] = x, y
    grid = affine_grid(move, list(ink.shape), align_corners=False)
    return grid_sample(ink, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
