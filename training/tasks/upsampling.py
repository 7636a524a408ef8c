"""What both upsamplers' training shares: crops, their small versions, masks, and the net's x_0 on them (DALL·E 2, §2.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.inpainting import inpaint_input
from models.nets.unet import UNet
from models.samplers.schedule import Schedule
from models.stages.upsampler import FACTOR, enlarge
from training.masks import draw_masks
from training.sampling import draw, lay_out, noise_like, same_noise_like

MASKED = 0.5
"""Of the crops; the others are to be painted whole."""
GRID_ROWS = 8


class Pictures(Protocol):
    """Where pictures of the size that is learned come from: scenes, or somebody's own data."""

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        """Pixels (B, 3, S, S) in [-1, 1], captions, owners (B, S, S) uint8."""
        ...


class UpsamplerTask(ABC):
    """Trains on crops: the net is convolutional and never needs more."""

    name: str
    crop_px: int
    crops_per_picture: int
    steps: int
    """Of the samples in `grid`."""

    def __init__(self, net: UNet, pictures: Pictures, schedule: Schedule) -> None:
        self.net, self.pictures, self.schedule = net, pictures, schedule

    @abstractmethod
    def wear(self, small: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Small pictures (B, 3, H, W) as the stage before may give them, and the level that the net is told, (B,) int64."""

    @abstractmethod
    def timesteps(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch,) int64."""

    @abstractmethod
    def error(self, predicted: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
        """The loss. predicted, x_0: (B, 3, H, W). t: (B,)."""

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """The error on chance crops."""
        device = next(self.net.parameters()).device
        with torch.autocast(device.type, enabled=False):  # pictures are data: never rounded to bfloat16
            x_0, owners = self._crops(batch, generator)
            small, level = self.wear(shrink(x_0), generator)
            t = self.timesteps(batch, generator).to(device)
            x_t = self.schedule.diffuse(x_0, noise_like(x_0, generator), t)
            masks = draw_masks(owners, "mixed", generator)
            is_whole = (torch.rand(batch, 1, 1, 1, generator=generator) >= MASKED).to(device)
            x = inpaint_input(torch.cat([x_t, enlarge(small)], dim=1), x_0, torch.where(is_whole, 1.0, masks))
        return self.error(self.net(x, t, level), x_0, t)

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """Eight pictures three times: enlarged from their small versions, drawn from these, and as they are."""
        generator = torch.Generator().manual_seed(0)
        whole = self.pictures.draw(GRID_ROWS, generator)[0].to(next(net.parameters()).device)
        small, level = self.wear(shrink(whole), generator)
        large = enlarge(small)

        def x_0_of(x_t: Tensor, t: Tensor) -> Tensor:
            x_0: Tensor = net(inpaint_input(torch.cat([x_t, large], dim=1)), t, level)
            return x_0

        drawn = draw(x_0_of, self.schedule, same_noise_like(whole), "sample", limit=1.0, steps=self.steps)
        return lay_out(torch.cat([large, drawn, whole]), columns=GRID_ROWS)

    def _crops(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(batch, 3, C, C) and (batch, C, C) on the net's device, several from each picture, on the small picture's grid."""
        pixels, _, owners = self.pictures.draw(-(-batch // self.crops_per_picture), generator)
        device = next(self.net.parameters()).device
        room = (pixels.shape[-1] - self.crop_px) // FACTOR + 1
        corners = (torch.randint(room, (batch, 2), generator=generator) * FACTOR).tolist()
        of = [number // self.crops_per_picture for number in range(batch)]
        at = [
            (n, slice(top, top + self.crop_px), slice(left, left + self.crop_px))
            for n, (top, left) in zip(of, corners, strict=True)
        ]
        crops = torch.stack([pixels[n, :, rows, columns] for n, rows, columns in at])
        return crops.to(device), torch.stack([owners[place] for place in at]).to(device)


def shrink(large: Tensor) -> Tensor:
    """(B, 3, 4 S, 4 S) to (B, 3, S, S), each pixel the mean of sixteen."""
    return interpolate(large, scale_factor=1 / FACTOR, mode="area")
