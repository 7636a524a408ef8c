"""The 64 → 256 upsampler: x_0 on crops, its input blurred and noised at a known level (DALL·E 2, §2.1; Imagen, §2.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from training.degrade import gaussian_blur
from training.sampling import denoising_loss, noise_like, stratified
from training.tasks.upsampling import UpsamplerTask

MAX_LEVEL = 300  # highest timestep of the noise put on the small picture
GRID_LEVEL = 50  # what the packed stage is told
BLUR_SHARE = 0.5
BLUR_SIGMAS_PX = (0.2, 0.8)


class Upsample256Task(UpsamplerTask):
    """Trains a diffusion net on quarter-wide crops of 256 px pictures."""

    name = "upsample_256"
    crop_px = 64
    crops_per_picture = 8
    steps = 6

    def wear(self, small: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Half of them blurred, all noised, each at a level of its own."""
        batch, device = len(small), small.device
        low, high = BLUR_SIGMAS_PX
        sigma = low + (high - low) * torch.rand(batch, generator=generator)
        is_blurred = (torch.rand(batch, 1, 1, 1, generator=generator) < BLUR_SHARE).to(device)
        small = torch.where(is_blurred, gaussian_blur(small, sigma.expand(2, -1), torch.zeros(batch)), small)
        level = torch.randint(MAX_LEVEL + 1, (batch,), generator=generator).to(device)
        return self.schedule.diffuse(small, noise_like(small, generator), level), level

    def timesteps(self, batch: int, generator: torch.Generator) -> Tensor:
        """Stratified."""
        return stratified(batch, self.schedule.timesteps, generator)

    def error(self, predicted: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
        """The denoising loss."""
        return denoising_loss(predicted, x_0, self.schedule.alphas_cumprod.to(t.device)[t])
