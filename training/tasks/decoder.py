"""The 64 px decoder: x_0 given z_i and the caption, each dropped at times (DALL·E 2, §2.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.inpainting import inpaint_input
from models.nets.text_proj import TextProjection
from models.nets.unet import UNet
from models.samplers.schedule import Schedule
from training.examples import Examples, Source, drop_text
from training.sampling import denoising_loss, draw, lay_out, noise_like, same_noise_like, stratified

GRID_ROWS = 64


class DecoderNet(nn.Module):
    """The UNet and the projection that conditions it; they learn together."""

    def __init__(self, unet: UNet, text_proj: TextProjection) -> None:
        super().__init__()
        self.unet, self.text_proj = unet, text_proj

    def forward(self, x: Tensor, timesteps: Tensor, z_i: Tensor, embeds: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """x: (B, 7, 64, 64), as `inpaint_input` makes it. z_i, embeds: (B, D). tokens: (B, L, D), mask: (B, L) bool.

        Returns x_0, (B, 3, 64, 64).
        """
        in_time, context = self.text_proj(z_i, embeds, tokens)
        mask = nn.functional.pad(mask, (context.shape[1] - mask.shape[1], 0), value=True)
        x_0: Tensor = self.unet(x, timesteps, in_time, context, mask)
        return x_0


@dataclass(frozen=True)
class Told:
    """How often z_i and the caption are withheld, so that one net serves the three conditionings (§2.1)."""

    drop_image: float = 0.1
    drop_text: float = 0.5


PAPER = Told()


class DecoderTask:
    """Trains on pictures, their z_i and their captions."""

    name = "decoder"

    def __init__(self, net: DecoderNet, source: Source, schedule: Schedule, told: Told = PAPER, t_power: float = 0.0) -> None:
        """t_power: of the timesteps' density, as `stratified` has it."""
        self.net, self.source, self.schedule, self.told, self.t_power = net, source, schedule, told, t_power

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """The denoising loss at stratified timesteps."""
        of = self.source.take(batch, generator)
        device = of.pixels.device
        t = stratified(batch, self.schedule.timesteps, generator, self.t_power).to(device, non_blocking=True)
        noise = noise_like(of.pixels, generator)
        rates = torch.tensor([[self.told.drop_image], [self.told.drop_text]])
        no_image, no_text = (torch.rand(2, batch, generator=generator) < rates).to(device, non_blocking=True)
        text = drop_text(of.text, self.source.empty, no_text)
        z_i = torch.where(no_image[:, None], self.net.text_proj.without_image(batch), of.z_i)
        x = inpaint_input(self.schedule.diffuse(of.pixels, noise, t), *self.known(of, generator))
        predicted = self.net(x, t, z_i, text.embeds, text.tokens, text.mask)
        return denoising_loss(predicted, of.pixels, self.schedule.alphas_cumprod.to(device, non_blocking=True)[t])

    def known(self, of: Examples, generator: torch.Generator) -> tuple[Tensor, Tensor] | tuple[()]:
        """The picture, (B, 3, 64, 64), and the mask, (B, 1, 64, 64), that the net is told; here neither."""
        return ()

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """Pictures from the z_i and the captions of one batch, without guidance."""
        of = self.source.take(GRID_ROWS, torch.Generator().manual_seed(0))

        def x_0_of(x_t: Tensor, t: Tensor) -> Tensor:
            x_0: Tensor = net(inpaint_input(x_t), t, of.z_i, of.text.embeds, of.text.tokens, of.text.mask)
            return x_0

        drawn = draw(x_0_of, self.schedule, same_noise_like(of.pixels), "sample", limit=1.0)
        return lay_out(drawn)
