"""The 64 → 256 upsampler: x_0 on crops, its input blurred and noised at a known level (§2.1; Imagen, §2.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models.nets.unet import UNet
from models.samplers.schedule import Schedule
from models.stages.upsampler import FACTOR, enlarge
from training.sampling import denoising_loss, draw, lay_out, stratified

CROP_PX = 64  # a quarter of 256, as in the paper: the net is convolutional and never sees more
MAX_LEVEL = 300  # highest timestep of the noise put on the small picture
BLUR_SHARE = 0.5


class UpsamplerTask:
    """Trains on crops of sharp pictures and their area-averaged, blurred, noised small versions."""

    name = "upsampler"

    def __init__(self, net: UNet, pixels: Tensor, schedule: Schedule) -> None:
        """pixels: uint8 (N, 3, 256, 256)."""
        self.net, self.pixels, self.schedule = net, pixels, schedule

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """The denoising loss on chance crops."""
        device = next(self.net.parameters()).device
        x_0 = self._crops(batch, generator).to(device)
        t = stratified(batch, self.schedule.timesteps, generator).to(device)
        level = torch.randint(MAX_LEVEL + 1, (batch,), generator=generator).to(device)
        small = interpolate(x_0, scale_factor=1 / FACTOR, mode="area")
        if torch.rand((), generator=generator) < BLUR_SHARE:
            small = blur(small, float(torch.rand((), generator=generator)) * 0.6 + 0.2)
        small = self.schedule.diffuse(small, torch.randn(small.shape, generator=generator).to(device), level)
        noise = torch.randn(x_0.shape, generator=generator).to(device)
        predicted = self.net(torch.cat([self.schedule.diffuse(x_0, noise, t), enlarge(small)], dim=1), t, level)
        return denoising_loss(predicted, x_0, self.schedule.alphas_cumprod.to(device)[t])

    def _crops(self, batch: int, generator: torch.Generator) -> Tensor:
        room = (self.pixels.shape[-1] - CROP_PX) // FACTOR + 1
        chosen = torch.randint(len(self.pixels), (batch,), generator=generator).tolist()
        places = (torch.randint(room, (batch, 2), generator=generator) * FACTOR).tolist()  # on the small picture's grid
        crops = [
            self.pixels[n, :, top : top + CROP_PX, left : left + CROP_PX] for n, (top, left) in zip(chosen, places, strict=True)
        ]
        return torch.stack(crops).float() / 127.5 - 1

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """Eight whole pictures upsampled from their 64 px versions at level 50."""
        device = next(net.parameters()).device
        whole = self.pixels[:: max(1, len(self.pixels) // 8)][:8].to(device).float() / 127.5 - 1
        small = interpolate(whole, scale_factor=1 / FACTOR, mode="area")
        level = torch.full((len(whole),), 50, device=device)
        noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(0)).to(device)
        large = enlarge(self.schedule.diffuse(small, noise, level))

        def x_0_of(x_t: Tensor, t: Tensor) -> Tensor:
            x_0: Tensor = net(torch.cat([x_t, large], dim=1), t, level)
            return x_0

        shape = tuple(whole.shape)
        return lay_out(draw(x_0_of, self.schedule, shape, "sample", limit=1.0, steps=6, device=device), columns=4)


def blur(pictures: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur with a 3 × 3 kernel, edges repeated. pictures: (B, C, H, W)."""
    line = torch.exp(-(torch.arange(-1.0, 2.0, device=pictures.device) ** 2) / (2 * sigma_px**2))
    kernel = (line[:, None] * line[None]) / line.sum() ** 2
    channels = pictures.shape[1]
    padded = nn.functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    return nn.functional.conv2d(padded, kernel.expand(channels, 1, 3, 3).to(pictures.dtype), groups=channels)
