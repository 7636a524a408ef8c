"""z_i as the prior draws them from captions, which is what a decoder is given when pictures are made."""

from __future__ import annotations

import torch
from torch import Tensor

from models.clip.text import TextFeatures
from models.nets.prior import PriorTransformer
from models.samplers import Schedule, guide
from training.sampling import draw


class PriorDraws:
    """A trained prior that learns no more, and how it samples: with one candidate, where a request draws two."""

    def __init__(
        self, net: PriorTransformer, empty: TextFeatures, schedule: Schedule, *, steps: int, guidance_scale: float
    ) -> None:
        """empty: features of the empty caption, one row, which stand for a dropped one."""
        self.net, self.empty, self.schedule = net.eval().requires_grad_(False), empty, schedule
        self.steps, self.guidance_scale = steps, guidance_scale

    @torch.no_grad()
    def __call__(self, text: TextFeatures, z_T: Tensor) -> Tensor:
        """One z_i for each of B captions, (B, D). z_T: the noise that it is drawn from, (B, D)."""
        rows, length = len(text.embeds), text.tokens.shape[1]
        empty = (self.empty.embeds, self.empty.tokens[:, :length], self.empty.mask[:, :length])
        own = (text.embeds, text.tokens, text.mask)
        both = [torch.cat([ours, none.expand_as(ours)]) for ours, none in zip(own, empty, strict=True)]
        scale = torch.full((rows,), self.guidance_scale, device=text.embeds.device)

        def x_0_of(z_t: Tensor, t: Tensor) -> Tensor:
            cond, uncond = self.net(torch.cat([z_t, z_t]), torch.cat([t, t]), *both).float().chunk(2)
            return guide(cond, uncond, scale)

        return self.net.denormalise(draw(x_0_of, self.schedule, z_T, "sample", limit=float("inf"), steps=self.steps))
