"""The upsampler's stage: 64 to 256 px, without text or guidance (DALL·E 2, §2.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from models.nets.unet import UNet
from models.noise import noise
from models.row import Row
from models.samplers import Coefficients
from models.stages.diffusion import DiffusionStage, Sampling, present

FACTOR = 4
SIZE_PX = 256


class UpsamplerStage(DiffusionStage):
    """Small picture to large one; the small one is noised at a level that the net is told (Imagen, §2.4)."""

    name = "upsample_256"
    cost = 20.0

    def __init__(
        self, net: UNet, sampling: Sampling, *, device: str, bucket: int, leave_to: Callable[[Row], None] | None
    ) -> None:
        super().__init__(sampling, device, bucket, leave_to)
        self.net = net

    def enter(self, row: Row) -> None:
        """Noise and enlarge the small picture once for all steps."""
        small = present(row.small)
        grain = noise(row.request.seed, f"{self.name}/augmentation", 0, small.shape).to(self.device)
        level = torch.full((len(small),), self.sampling.augmentation_level, device=self.device)
        noised = self.sampling.schedule.diffuse(small, grain, level) if self.sampling.augmentation_level else small
        row.given = (enlarge(noised), level)
        self.begin(row, row.request.upsample_steps, (3, SIZE_PX, SIZE_PX), [self.name])

    def predict(self, rows: Sequence[Row], x_t: Tensor, at: Coefficients) -> Tensor:
        """The net's output of every row, (B, 3, 256, 256)."""
        large, level = (torch.cat(parts) for parts in zip(*(row.given for row in rows), strict=True))
        output: Tensor = self.net(torch.cat([x_t, large], dim=1), at.timestep, level)
        return output

    def leave(self, row: Row) -> None:
        """Keep the picture."""
        row.large = present(row.x_t).clamp(-1, 1)


def enlarge(small: Tensor) -> Tensor:
    """(B, 3, S, S) to (B, 3, 4 S, 4 S), bicubic."""
    return interpolate(small, scale_factor=FACTOR, mode="bicubic", align_corners=False)
