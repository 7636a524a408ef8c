"""Inpainting: what the nets are told of the part of a picture that shall stay, and how that part comes out as it went in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, pad

from models.errors import InpaintingError

INPAINT_CHANNELS = 4
"""Picture channels after a net's own: three of what is known, one that says where."""

SEAM_SHARE = 1 / 64  # of the picture's side: how far into the painted part a step in tone at its edge is evened out


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a picture at one stage's size, for one row.

    picture: (1, 3, S, S) in [-1, 1]. mask: (1, 1, S, S) float32, 1 to be painted, 0 to stay. What `picture` holds under the
    mask is never looked at.
    """

    picture: Tensor
    mask: Tensor

    def hold(self, x_0: Tensor) -> Tensor:
        """A prediction with what is known in its place, as GLIDE's inpainting does at every step. x_0: (1, 3, S, S)."""
        return torch.where(self.mask > 0, x_0, self.picture)

    def blend(self, drawn: Tensor) -> Tensor:
        """The finished picture: known pixels as they are, and no step in tone where the painted part begins.

        drawn: (1, 3, S, S). By how much the net missed the known pixels next to the mask is taken off inside it, less and less
        up to a few pixels' depth.
        """
        radius = max(1, round(SEAM_SHARE * drawn.shape[-1]))
        stays = 1 - self.mask

        def around(values: Tensor) -> Tensor:
            across = avg_pool2d(values, (1, 2 * radius + 1), 1, (0, radius), count_include_pad=False)
            return avg_pool2d(across, (2 * radius + 1, 1), 1, (radius, 0), count_include_pad=False)

        near = around(stays)
        missed = around((self.picture - drawn) * stays) / near.clamp_min(1e-6)
        return self.hold((drawn + missed * (2 * near).clamp(max=1)).clamp(-1, 1))


@dataclass(frozen=True, eq=False)
class Inpainting:
    """A picture of which a part is to be painted anew.

    picture: (S, S, 3) uint8. mask: (S, S) bool, True where it is to be painted. Raises InpaintingError for other shapes or
    types, and for a mask without a place to paint.
    """

    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        side = self.picture.shape[0]
        if self.picture.dtype != np.uint8 or self.picture.shape != (side, side, 3):
            raise InpaintingError(f"the picture is {self.picture.dtype} {self.picture.shape}; it must be uint8 (S, S, 3)")
        if self.mask.dtype != np.bool_ or self.mask.shape != (side, side):
            raise InpaintingError(f"the mask is {self.mask.dtype} {self.mask.shape}; it must be bool ({side}, {side})")
        if not self.mask.any():
            raise InpaintingError("the mask leaves nothing to paint; it must be True somewhere")

    def at(self, size_px: int, device: str | torch.device) -> Known | None:
        """What a stage of that size knows; None where the picture is smaller, for a stage that adds detail adds it everywhere.

        Made smaller by area; a pixel of which any part is to be painted is painted whole, so nothing under the mask shows.
        """
        if self.picture.shape[0] < size_px:
            return None
        picture = torch.tensor(self.picture, device=device).permute(2, 0, 1)[None].float() / 127.5 - 1
        mask = torch.tensor(self.mask, device=device)[None, None].float()
        return Known(adaptive_avg_pool2d(picture, size_px), adaptive_max_pool2d(mask, size_px))


def inpaint_input(x: Tensor, picture: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
    """A net's input with what is known of the picture: [x, picture · (1 - mask), 1 - mask].

    x: (B, C, H, W), the net's own channels. picture: (B, 3, H, W) in [-1, 1]. mask: (B, 1, H, W), 1 where it shall be painted
    anew, 0 where it stays. Returns (B, C + 4, H, W). Without picture and mask all is to be painted, and the four channels are
    zero: a net that draws from nothing gives its weights for them no gradient, so they keep the zeros that they started with.
    """
    if picture is None or mask is None:
        return pad(x, (0, 0, 0, 0, 0, INPAINT_CHANNELS))
    stays = (1 - mask).to(x.dtype)
    return torch.cat([x, picture.to(x.dtype) * stays, stays], dim=1)


def net_input(x: Tensor, known: Sequence[Known | None], in_channels: int) -> Tensor:
    """The input of a net that takes `in_channels`, some rows of which may be inpainted. x: (B, C, H, W), known: B of them.

    A net without inpainting channels, as in a folder of diffusers', gets `x` as it is.
    """
    if in_channels == x.shape[1]:
        return x
    return torch.cat(
        [inpaint_input(row, k.picture, k.mask) if k else inpaint_input(row) for row, k in zip(x[:, None], known, strict=True)]
    )
