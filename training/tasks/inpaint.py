"""Inpainting: the decoder goes on learning with a part of the picture given (Imagen Editor, §3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.inpainting import Known, inpaint_input
from models.samplers.schedule import Schedule
from training.examples import Examples, Source
from training.masks import MaskPolicy, draw_masks
from training.sampling import draw, lay_out, same_noise_like
from training.tasks.decoder import PAPER, DecoderNet, DecoderTask, Told

GRID_ROWS = 16
GREY = 0.0


class InpaintTask(DecoderTask):
    """The decoder's task with known pictures and masks of one policy, by which the ablation's two decoders differ."""

    name = "inpaint"

    def __init__(
        self,
        net: DecoderNet,
        source: Source,
        schedule: Schedule,
        told: Told = PAPER,
        t_power: float = 0.0,
        *,
        policy: MaskPolicy,
        whole: float = 0.3,
    ) -> None:
        """whole: share of the rows that are painted whole, so that drawing from nothing is not forgotten."""
        super().__init__(net, source, schedule, told, t_power)
        self.policy, self.whole = policy, whole

    def known(self, of: Examples, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The true picture, and a mask of the policy or of all."""
        masks = draw_masks(of.owners, self.policy, generator)
        is_whole = (torch.rand(len(masks), 1, 1, 1, generator=generator) < self.whole).to(masks.device)
        return of.pixels, masks.masked_fill(is_whole, 1.0)

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """For each of some examples: the true picture, what the net is told of it, and what it paints; no guidance, no z_i."""
        generator = torch.Generator().manual_seed(0)
        of = self.source.take(GRID_ROWS, generator)
        mask = draw_masks(of.owners, "object", generator)
        known, z_i = Known(of.pixels, mask), self.net.text_proj.without_image(len(mask))

        def x_0_of(x_t: Tensor, t: Tensor) -> Tensor:
            x = inpaint_input(x_t, known.picture, known.mask)
            return known.hold(net(x, t, z_i, of.text.embeds, of.text.tokens, of.text.mask))

        drawn = draw(x_0_of, self.schedule, same_noise_like(of.pixels), "sample", limit=1.0)
        told = torch.where(mask > 0, GREY, of.pixels)
        return lay_out(torch.stack([of.pixels, told, known.blend(drawn)], dim=1).flatten(0, 1), columns=12)
