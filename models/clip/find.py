"""Where in a picture a named thing is: CLIP compares pieces of the picture with the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

if TYPE_CHECKING:
    from models.cascade import Cascade

SIDE_PX = 64
"""Of the picture in which things are looked for, and of the mask."""
SIZES = (0.3, 0.42, 0.58, 0.8)
STRIDE = 1 / 6
"""Of a square's side."""
GROUND = 0.16
"""What differs from the ground by less than this, of the range from black to white, belongs to it."""
SMALLEST = 12
"""Pixels below which a patch is a speck."""
ROOM, MARGIN = 1.15, 0.06
"""How much wider than its box a patch is looked at; how much wider the mask is, on each side."""
SURE = 0.08
"""By how much a square must look more like the words than the best patch, for patches are cut out better."""
LEAST = 0.1
"""Cosine below which nothing was found."""
AT_ONCE = 64
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the small picture."""


@torch.inference_mode()
def find(cascade: Cascade, picture: NDArray[np.uint8], words: str) -> NDArray[np.bool_] | None:
    """The box around the thing that looks most like the words, (64, 64), True inside; None where nothing does.

    picture: (S, S, 3) uint8. Pieces are patches that stand out from the ground, whose colour is that of the picture's border,
    and squares of several sizes for things on grounds of many colours. Raises PartMissing for a model without an image tower.
    """
    from models.setting_out import as_tensor, at_side

    whole = as_tensor(picture, "cpu")
    small = at_side(whole, SIDE_PX)
    differs = stands_out(small[0].permute(1, 2, 0).numpy())
    patches, ground = patches_of(differs), squares()
    boxes = [*patches, *ground]
    scores = _scores(cascade, whole, ground, words)
    if patches:
        scores = torch.cat([_scores(cascade, _on_white(whole, differs), patches, words), scores])
    best = int(scores.argmax())
    if patches:
        patch = int(scores[: len(patches)].argmax())
        best = patch if scores[patch] + SURE >= scores[best] else best
    return box_mask(boxes[best]) if float(scores[best]) >= LEAST else None


def squares() -> list[Box]:
    """Squares of all sizes over the whole picture."""
    found = []
    for size in SIZES:
        side = size * SIDE_PX
        count = max(2, round((SIDE_PX - side) / (STRIDE * side)) + 1)
        places = np.linspace(0, SIDE_PX - side, count)
        found += [(float(x), float(y), float(x + side), float(y + side)) for y in places for x in places]
    return found


def stands_out(small: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a picture differs from the colour of its border, (64, 64). small: (64, 64, 3) in [-1, 1]."""
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    return np.asarray(np.abs(small - np.median(border, axis=0)).max(axis=2) > 2 * GROUND)


def patches_of(differs: NDArray[np.bool_]) -> list[Box]:
    """Boxes of the connected patches that stand out; none where nearly all does."""
    if differs.mean() > 0.9:
        return []
    boxes: list[Box] = []
    for places in connected(differs):
        if len(places) >= SMALLEST:
            (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0) + 1
            boxes.append((float(left), float(top), float(right), float(bottom)))
    return boxes


def connected(marked: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The places, (n, 2) row and column, of each group of marked pixels that touch, corners too."""
    left, groups = {(int(row), int(column)) for row, column in np.argwhere(marked)}, []
    while left:
        group, edge = [], [left.pop()]
        while edge:
            row, column = edge.pop()
            group.append((row, column))
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left
            left -= near
            edge += near
        groups.append(np.array(group))
    return groups


def box_mask(box: Box) -> NDArray[np.bool_]:
    """(64, 64), True in the box and a margin around it."""
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=np.bool_)
    left, top, right, bottom = box
    across, down = max(1.0, MARGIN * (right - left)), max(1.0, MARGIN * (bottom - top))
    rows = slice(max(0, round(top - down)), round(bottom + down))
    mask[rows, max(0, round(left - across)) : round(right + across)] = True
    return mask


def _on_white(whole: Tensor, differs: NDArray[np.bool_]) -> Tensor:
    """What stands out, cut out on white: so a thing is known best, whatever the ground on which it stands."""
    stands = torch.from_numpy(differs)[None, None].float()
    return torch.where(interpolate(stands, whole.shape[-2:]) > 0, whole, torch.ones_like(whole))


def _scores(cascade: Cascade, whole: Tensor, boxes: Sequence[Box], words: str) -> Tensor:
    """The cosine of each box's piece of the picture with the words, (B,)."""
    from models.setting_out import encode_all

    z_t = cascade.text.encode([words]).embeds
    scores = []
    for start in range(0, len(boxes), AT_ONCE):
        z_i = encode_all(cascade, pieces(whole, boxes[start : start + AT_ONCE]))
        scores.append((z_i * z_t.to(z_i.device)).mean(dim=-1))
    return torch.cat(scores).cpu()


def pieces(whole: Tensor, boxes: Sequence[Box]) -> Tensor:
    """(B, 3, 64, 64): the square around each box with some room; what lies beyond the picture repeats its edge."""
    theta = torch.zeros(len(boxes), 2, 3)
    for number, (left, top, right, bottom) in enumerate(boxes):
        side = max(right - left, bottom - top) / SIDE_PX * ROOM
        theta[number, 0, 0] = theta[number, 1, 1] = side
        theta[number, 0, 2], theta[number, 1, 2] = (left + right) / SIDE_PX - 1, (top + bottom) / SIDE_PX - 1
    grid = affine_grid(theta, [len(boxes), 3, SIDE_PX, SIDE_PX], align_corners=False)
    return grid_sample(whole.expand(len(boxes), -1, -1, -1), grid, mode="bilinear", padding_mode="border", align_corners=False)
