"""Spherical interpolation: between CLIP embeddings, and between noises."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NEARLY_ONE_WAY = 1e-4
"""Angle below which the sphere is as good as flat."""


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """From `start` to `end` along the great circle (Shoemake 1985), each row as one vector; lengths go evenly between theirs.

    start, end: (B, …). share: 0 gives `start` and 1 gives `end`, exactly.
    """
    if share in (0.0, 1.0):
        return end if share else start
    one, other = start.flatten(1), end.flatten(1)
    length, other_length = one.norm(dim=1, keepdim=True), other.norm(dim=1, keepdim=True)
    way, other_way = one / length.clamp_min(1e-12), other / other_length.clamp_min(1e-12)
    angle = (way * other_way).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    apart = angle.sin().clamp_min(1e-12)
    turned = (((1 - share) * angle).sin() * way + (share * angle).sin() * other_way) / apart
    straight = torch.lerp(way, other_way, share)
    mixed = torch.where(angle > NEARLY_ONE_WAY, turned, straight)
    return (mixed * torch.lerp(length, other_length, share)).reshape(start.shape)


def slerp_along(points: Sequence[Tensor], share: float) -> Tensor:
    """From the first of several points to the last, by all others, each stretch as long: share 0 to 1. points: (B, …)."""
    stretches = len(points) - 1
    place = min(int(share * stretches), stretches - 1)
    return slerp(points[place], points[place + 1], share * stretches - place)


def slerp_mix(points: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """All points at once, each as near as its weight says; for two it is `slerp`. points: (B, …). weights: not all 0.

    One after another: the mixture so far and the next point, by their weights. Points of weight 0 have no say.
    """
    mixed, so_far = points[0], 0.0
    for point, weight in zip(points, weights, strict=True):
        if weight:
            so_far += weight
            mixed = slerp(mixed, point, weight / so_far)
    return mixed
