"""The 64 px decoder: x_0 given z_i and the caption, each dropped at times (DALL·E 2, §2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.nets.text_proj import TextProjection
from models.nets.unet import UNet
from models.samplers.schedule import Schedule
from training.bank import Captions, Pictures
from training.sampling import denoising_loss, draw, lay_out, stratified

DROP_IMAGE, DROP_TEXT = 0.1, 0.5


class DecoderNet(nn.Module):
    """The UNet and the projection that conditions it; they learn together."""

    def __init__(self, unet: UNet, text_proj: TextProjection) -> None:
        super().__init__()
        self.unet, self.text_proj = unet, text_proj

    def forward(self, x_t: Tensor, timesteps: Tensor, z_i: Tensor, embeds: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """x_t: (B, 3, 64, 64). z_i, embeds: (B, D). tokens: (B, L, D), mask: (B, L) bool. Returns x_0, (B, 3, 64, 64)."""
        in_time, context = self.text_proj(z_i, embeds, tokens)
        mask = nn.functional.pad(mask, (context.shape[1] - mask.shape[1], 0), value=True)
        x_0: Tensor = self.unet(x_t, timesteps, in_time, context, mask)
        return x_0


class DecoderTask:
    """Trains on placed pictures, their z_i and a chance caption of their object."""

    name = "decoder"

    def __init__(self, net: DecoderNet, pictures: Pictures, z_i: Tensor, captions: Captions, schedule: Schedule) -> None:
        self.net, self.pictures, self.z_i, self.captions, self.schedule = net, pictures, z_i, captions, schedule

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """The denoising loss at stratified timesteps."""
        device = self.z_i.device
        chosen = torch.randint(len(self.pictures.pixels), (batch,), generator=generator)
        t = stratified(batch, self.schedule.timesteps, generator).to(device)
        noise = torch.randn(batch, *self.pictures.pixels.shape[1:], generator=generator).to(device)
        no_image, no_text = (torch.rand(2, batch, generator=generator) < torch.tensor([[DROP_IMAGE], [DROP_TEXT]])).to(device)
        text = self.captions.take(self.captions.choose(self.pictures.objects[chosen], generator), no_text)
        z_i = torch.where(no_image[:, None], self.net.text_proj.without_image(batch), self.z_i[chosen])
        x_0 = self.pictures.take(chosen, device)
        predicted = self.net(self.schedule.diffuse(x_0, noise, t), t, z_i, text.embeds, text.tokens, text.mask)
        return denoising_loss(predicted, x_0, self.schedule.alphas_cumprod.to(device)[t])

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """One picture for each of the first 64 objects, from the z_i of a training picture, without text."""
        per_object = len(self.pictures.objects) // (int(self.pictures.objects.max()) + 1)
        rows, device = torch.arange(0, len(self.pictures.objects), per_object)[:64], self.z_i.device
        text = self.captions.take(torch.zeros_like(rows), torch.ones(len(rows), dtype=torch.bool, device=device))

        def x_0_of(x_t: Tensor, t: Tensor) -> Tensor:
            x_0: Tensor = net(x_t, t, self.z_i[rows], text.embeds, text.tokens, text.mask)
            return x_0

        shape = (len(rows), *self.pictures.pixels.shape[1:])
        return lay_out(draw(x_0_of, self.schedule, shape, "sample", limit=1.0, device=device))
