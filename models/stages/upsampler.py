"""The upsamplers' stages: 64 to 256 px and 256 to 1024 px, without text or guidance (DALL·E 2, §2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.inpainting import net_input
from models.nets.unet import UNet
from models.noise import noise
from models.row import DrawRequest, Row
from models.samplers import Coefficients
from models.stages.diffusion import DiffusionStage, Sampling
from models.stages.stage import present

FACTOR = 4
COSTS = {256: 20.0, 1024: 65.0}
"""Of a step, by the side of what it gives, in the other stages' units: what the bundled nets take on a CPU."""


class UpsamplerStage(DiffusionStage):
    """Small picture to one four times as large.

    The small one is noised at a level that the net is told (Imagen, §2.4), where the sampling names a level.
    """

    def __init__(self, net: UNet, sampling: Sampling, *, size_px: int, device: str, bucket: int) -> None:
        """size_px: of what it gives, 256 or 1024."""
        super().__init__(sampling, device, bucket)
        self.net, self.size_px = net, size_px
        self.name, self.cost = f"upsample_{size_px}", COSTS[size_px]

    def steps(self, request: DrawRequest) -> int:
        """As many as the request says, unless the net was trained for a number of its own."""
        return self.sampling.steps or request.upsample_steps

    def enter(self, row: Row) -> None:
        """Noise and enlarge the last picture once for all steps."""
        small = present(row.small if row.large is None else row.large)
        level = torch.full((len(small),), self.sampling.augmentation_level, device=self.device)
        if self.sampling.augmentation_level:
            grain = noise(row.request.seed, f"{self.name}/augmentation", 0, small.shape).to(self.device)
            small = self.sampling.schedule.diffuse(small, grain, level)
        row.given = (enlarge(small), level)
        self.begin_picture(row, self.size_px)

    def predict(self, rows: Sequence[Row], x_t: Tensor, at: Coefficients) -> Tensor:
        """The net's output of every row, (B, 3, S, S)."""
        large, level = (torch.cat(parts) for parts in zip(*(row.given for row in rows), strict=True))
        x = net_input(torch.cat([x_t, large], dim=1), [row.known for row in rows], self.net.config.in_channels)
        output: Tensor = self.net(x, at.timestep, level)
        return output

    def leave(self, row: Row) -> None:
        """Keep the picture."""
        row.large = self.drawn(row)


def enlarge(small: Tensor) -> Tensor:
    """(B, 3, S, S) to (B, 3, 4 S, 4 S), bicubic."""
    return interpolate(small, scale_factor=FACTOR, mode="bicubic", align_corners=False)
