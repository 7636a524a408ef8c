"""Which part of a training picture is to be painted anew: objects that the caption names, or places drawn by chance."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

MaskPolicy = Literal["none", "object", "random", "mixed"]
"""none: all of every picture. object, random: `object_masks`, `random_masks`. mixed: each for half of the rows."""

MIN_VISIBLE = 1 / 400  # share of the picture; of an object that is hidden nearly whole, nothing can be learned
OUTLINE_SHARE = 0.3  # of the object masks; the others are boxes, as a detector's are: an outline tells what was there
MAX_BOXES, SEGMENTS = 3, 5


def draw_masks(owners: Tensor, policy: MaskPolicy, generator: torch.Generator) -> Tensor:
    """A mask for each picture, (B, 1, S, S) float32 on the device of `owners`: 1 to be painted, 0 to stay.

    owners: (B, S, S) uint8, 0 the backdrop, k the k-th object. All chance comes from `generator`, a CPU one.
    """
    batch, size_px = len(owners), owners.shape[-1]
    if policy == "none":
        return torch.ones(batch, 1, size_px, size_px, device=owners.device)
    if policy == "object":
        return object_masks(owners, generator)
    by_chance = random_masks(batch, size_px, generator, owners.device)
    if policy == "random":
        return by_chance
    half = (torch.rand(batch, 1, 1, 1, generator=generator) < 0.5).to(owners.device)
    return torch.where(half, object_masks(owners, generator), by_chance)


def object_masks(owners: Tensor, generator: torch.Generator) -> Tensor:
    """One whole object of each picture and a margin around it: its box, or a blunt outline (Imagen Editor, §3: object masking).

    Random masks often miss what the caption names, and teach a net that the caption may be ignored; these never do. Owners as
    in `draw_masks`; a picture without a visible object gets a random mask. Returns (B, 1, S, S) float32.
    """
    batch, size_px = len(owners), owners.shape[-1]
    number = _chosen_object(owners, generator)
    seen = (owners == number[:, None, None]) & (number > 0)[:, None, None]
    margins = torch.randint(1, max(2, size_px // 8), (batch, 4), generator=generator).to(owners.device)
    outline = _dilate(seen, int(torch.randint(2, max(3, size_px // 8), (), generator=generator)))
    is_outline = (torch.rand(batch, 1, 1, generator=generator) < OUTLINE_SHARE).to(owners.device)
    masks = torch.where(is_outline, outline, _box_around(seen, margins))[:, None].float()
    by_chance = random_masks(batch, size_px, generator, owners.device)
    return torch.where((number > 0)[:, None, None, None], masks, by_chance)


def random_masks(batch: int, size_px: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Tensor:
    """One to three boxes, or a thick broken line, anywhere; (batch, 1, size_px, size_px) float32 on `device`."""
    axis = (torch.arange(size_px, device=device) + 0.5) / size_px
    is_stroke = (torch.rand(batch, 1, 1, generator=generator) < 0.5).to(device)
    masks = torch.where(is_stroke, _strokes(batch, axis, generator), _boxes(batch, axis, generator))
    return masks[:, None].float()


def _chosen_object(owners: Tensor, generator: torch.Generator) -> Tensor:
    """(B,) the number of one visible object of each picture, each as likely; 0 where there is none."""
    flat = owners.flatten(1).long()
    pixels = torch.zeros(len(owners), 256, device=owners.device).scatter_add_(
        1, flat, torch.ones(flat.shape, device=flat.device)
    )
    visible = pixels >= MIN_VISIBLE * flat.shape[1]
    visible[:, 0] = False
    lots = torch.rand(len(owners), 256, generator=generator).to(owners.device) + 1
    return torch.where(visible.any(1), (lots * visible).argmax(1), 0)


def _box_around(seen: Tensor, margins: Tensor) -> Tensor:
    """The box of each mask, widened at left, right, top, bottom. seen: (B, S, S) bool. margins: (B, 4), in pixels."""
    axis = torch.arange(seen.shape[-1], device=seen.device)

    def span(hit: Tensor, before: Tensor, after: Tensor) -> Tensor:
        first = torch.where(hit, axis, len(axis)).amin(1) - before
        last = torch.where(hit, axis, -1).amax(1) + after
        return (axis >= first[:, None]) & (axis <= last[:, None])

    across, down = span(seen.any(1), margins[:, 0], margins[:, 1]), span(seen.any(2), margins[:, 2], margins[:, 3])
    return down[:, :, None] & across[:, None, :]


def _dilate(seen: Tensor, radius_px: int) -> Tensor:
    """(B, S, S) bool, each mask grown by a square of 2 radius + 1."""
    side = 2 * radius_px + 1
    across = torch.nn.functional.max_pool2d(seen[:, None].float(), (1, side), stride=1, padding=(0, radius_px))
    return torch.nn.functional.max_pool2d(across, (side, 1), stride=1, padding=(radius_px, 0))[:, 0] > 0


def _boxes(batch: int, axis: Tensor, generator: torch.Generator) -> Tensor:
    """(batch, S, S) bool: one to three boxes with sides from a tenth to six tenths of the picture. axis: (S,) in [0, 1]."""
    masks = torch.zeros(batch, len(axis), len(axis), dtype=torch.bool, device=axis.device)
    count = torch.randint(1, MAX_BOXES + 1, (batch, 1, 1), generator=generator).to(axis.device)
    for number in range(MAX_BOXES):
        centre, side = torch.rand(2, batch, 2, 1, generator=generator).to(axis.device)
        inside = (axis - centre).abs() <= (0.1 + 0.5 * side) / 2  # (batch, 2, S): down, across
        masks |= inside[:, 0, :, None] & inside[:, 1, None, :] & (number < count)
    return masks


def _strokes(batch: int, axis: Tensor, generator: torch.Generator) -> Tensor:
    """(batch, S, S) bool: lines of five segments between chance points, with a round brush. axis: (S,) in [0, 1]."""
    place = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1)  # (S, S, 2): y, x
    radius = (0.04 + 0.08 * torch.rand(batch, 1, 1, generator=generator)).to(axis.device)
    points = torch.rand(SEGMENTS + 1, batch, 1, 1, 2, generator=generator).to(axis.device)
    masks = torch.zeros(batch, len(axis), len(axis), dtype=torch.bool, device=axis.device)
    for start, end in pairwise(points):
        along = end - start
        share = ((place - start) * along).sum(-1, keepdim=True) / along.square().sum(-1, keepdim=True).clamp_min(1e-6)
        masks |= (place - start - share.clamp(0, 1) * along).norm(dim=-1) <= radius
    return masks
