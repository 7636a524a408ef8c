"""The 256 → 1024 upsampler: few fixed steps, from small pictures worn in the manner of BSRGAN (DALL·E 2, §2.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from models.nets.unet import UNet
from models.samplers import make_plan
from models.samplers.schedule import Schedule
from training.degrade import degrade
from training.tasks.upsampling import Pictures, UpsamplerTask


class Upsample1024Task(UpsamplerTask):
    """Trains a net for its own few timesteps alone, on pictures as large as the paper's crops: a quarter of 1024."""

    name = "upsample_1024"
    crop_px = 256
    crops_per_picture = 1

    def __init__(self, net: UNet, pictures: Pictures, schedule: Schedule, steps: int) -> None:
        """steps: how many it will be asked for, always."""
        super().__init__(net, pictures, schedule)
        self.steps = steps
        self._plan = make_plan(schedule, "dpm_solver_2m", steps).coefficients.timestep

    def wear(self, small: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Blur, resampling, grain and JPEG by chance. The net is told no level: it must see for itself."""
        return degrade(small, generator), torch.zeros(len(small), dtype=torch.long, device=small.device)

    def timesteps(self, batch: int, generator: torch.Generator) -> Tensor:
        """Of the plan, each as likely."""
        return self._plan[torch.randint(len(self._plan), (batch,), generator=generator)]

    def error(self, predicted: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
        """Mean absolute error, which keeps edges sharper than the square does (Zhao et al. 2017); all steps weigh the same."""
        return (predicted.float() - x_0).abs().mean()
