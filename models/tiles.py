"""A picture too large for an upsampler: cut into squares that overlap, and put together again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

OVERLAP = 1 / 8
"""Of a square's side, at least."""


@dataclass(eq=False)
class Tiles:
    """The squares of one picture, in the order in which they are upsampled.

    picture: (1, 3, S, S). side: of a square, before it is upsampled. corners: top and left of each. done: (1, 3, F side, F
    side) of those that are through, F the upsampler's factor.
    """

    picture: Tensor
    side: int
    corners: tuple[tuple[int, int], ...]
    done: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, picture: Tensor, side: int) -> Self:
        """Cut a picture that is larger than a square."""
        places = starts(picture.shape[-1], side)
        return cls(picture, side, tuple((top, left) for top in places for left in places))

    def next(self, number: int = 0) -> Tensor:
        """A square to be upsampled, (1, 3, side, side)."""
        top, left = self.corners[number]
        return self.picture[..., top : top + self.side, left : left + self.side]

    def together(self, last: Tensor) -> Tensor:
        """The upsampled picture, (1, 3, F S, F S): where squares overlap, each counts less towards its edge.

        last: the square after those that are done.
        """
        side = last.shape[-1]
        factor = side // self.side
        whole = self.picture.shape[-1] * factor
        sums = self.picture.new_zeros(1, 3, whole, whole)
        weights = self.picture.new_zeros(1, 1, whole, whole)
        ramp = _ramp(side, sums)
        weight = ramp[:, None] * ramp[None]
        for (top, left), square in zip(self.corners, [*self.done, last], strict=True):
            down, across = slice(top * factor, top * factor + side), slice(left * factor, left * factor + side)
            sums[..., down, across] += square * weight
            weights[..., down, across] += weight
        return sums / weights


def starts(length: int, side: int) -> list[int]:
    """Where squares begin along one axis: evenly, from edge to edge, none with less than the overlap."""
    if length <= side:
        return [0]
    room = length - side
    count = -(-room // max(1, round(side * (1 - OVERLAP))))
    return [round(room * number / count) for number in range(count + 1)]


def _ramp(side: int, like: Tensor) -> Tensor:
    """From a little at the edges to 1 within the overlap, (side,)."""
    edge = max(1, round(side * OVERLAP))
    place = torch.arange(side, dtype=like.dtype, device=like.device)
    return (torch.minimum(place + 1, side - place) / edge).clamp(max=1)
