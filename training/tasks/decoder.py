"""The 64 px decoder: x_0 given z_i and the caption, each dropped at times (DALL·E 2, §2.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.clip.text import TextFeatures
from models.inpainting import inpaint_input
from models.nets.text_proj import TextProjection
from models.nets.unet import UNet
from models.samplers.schedule import Schedule
from training.examples import Examples, Source, drop_text
from training.prior_draws import PriorDraws
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
    """What the decoder is told of a picture.

    drop_image, drop_text: how often z_i and the caption are withheld, so that one net serves the three conditionings (§2.1).
    prior_image: of the rows that are told both, the share that gets the prior's z_i for the caption in place of the picture's.
    """

    drop_image: float = 0.1
    drop_text: float = 0.5
    prior_image: float = 0.0


PAPER = Told()


class DecoderTask:
    """Trains on pictures, their z_i and their captions.

    A picture's own z_i says nearly all that can be seen in it, and from it alone names, colours and numbers are learned, each
    together with all the others. The prior's says less and is at times wrong: with that z_i the caption is what to go by.
    """

    name = "decoder"

    def __init__(
        self, net: DecoderNet, source: Source, schedule: Schedule, told: Told = PAPER, prior: PriorDraws | None = None
    ) -> None:
        """prior: draws the z_i of `told.prior_image`; None where there are no such rows."""
        self.net, self.source, self.schedule, self.told, self.prior = net, source, schedule, told, prior

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """The denoising loss at stratified timesteps."""
        of = self.source.take(batch, generator)
        device = of.pixels.device
        t = stratified(batch, self.schedule.timesteps, generator).to(device, non_blocking=True)
        noise = noise_like(of.pixels, generator)
        rates = torch.tensor([[self.told.drop_image], [self.told.drop_text], [self.told.prior_image]])
        no_image, no_text, by_prior = torch.rand(3, batch, generator=generator) < rates
        z_i = self._with_priors(of, (by_prior & ~no_image & ~no_text).nonzero().flatten(), generator)
        no_image, no_text = no_image.to(device, non_blocking=True), no_text.to(device, non_blocking=True)
        text = drop_text(of.text, self.source.empty, no_text)
        z_i = torch.where(no_image[:, None], self.net.text_proj.without_image(batch), z_i)
        x = inpaint_input(self.schedule.diffuse(of.pixels, noise, t), *self.known(of, generator))
        predicted = self.net(x, t, z_i, text.embeds, text.tokens, text.mask)
        return denoising_loss(predicted, of.pixels, self.schedule.alphas_cumprod.to(device, non_blocking=True)[t])

    def _with_priors(self, of: Examples, rows: Tensor, generator: torch.Generator) -> Tensor:
        """The pictures' z_i, (B, D), those of the given rows drawn by the prior."""
        if self.prior is None or not len(rows):
            return of.z_i
        rows = rows.to(of.z_i.device, non_blocking=True)
        text = TextFeatures(of.text.embeds[rows], of.text.tokens[rows], of.text.mask[rows], ())
        return of.z_i.index_copy(0, rows, self.prior(text, noise_like(text.embeds, generator)))

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
