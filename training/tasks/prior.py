"""The diffusion prior: the unnoised z_i from the caption, by mean squared error on x_0 (DALL·E 2, §2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.nets.prior import PriorTransformer
from models.samplers.schedule import Schedule
from training.examples import Source, drop_text
from training.sampling import draw, noise_like, same_noise_like, similarity_map, stratified

DROP_CONDITION = 0.1
GRID_ROWS = 64


class PriorTask:
    """Trains on pictures' z_i and their captions."""

    name = "prior"

    def __init__(self, net: PriorTransformer, source: Source, schedule: Schedule) -> None:
        self.net, self.source, self.schedule = net, source, schedule

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """Mean squared error of the normalised z_i at stratified timesteps."""
        of = self.source.take(batch, generator)
        device = of.z_i.device
        t = stratified(batch, self.schedule.timesteps, generator).to(device, non_blocking=True)
        dropped = (torch.rand(batch, generator=generator) < DROP_CONDITION).to(device, non_blocking=True)
        text = drop_text(of.text, self.source.empty, dropped)
        x_0 = self.net.normalise(of.z_i)
        noise = noise_like(x_0, generator)
        predicted = self.net(self.schedule.diffuse(x_0, noise, t), t, text.embeds, text.tokens, text.mask)
        return nn.functional.mse_loss(predicted.float(), x_0)

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """z_i drawn from captions against the z_i of their pictures, by cosine similarity."""
        of = self.source.take(GRID_ROWS, torch.Generator().manual_seed(0))

        def x_0_of(z_t: Tensor, t: Tensor) -> Tensor:
            x_0: Tensor = net(z_t, t, of.text.embeds, of.text.tokens, of.text.mask)
            return x_0

        drawn = draw(x_0_of, self.schedule, same_noise_like(of.z_i), "sample", limit=float("inf"))
        return similarity_map(self.net.denormalise(drawn), of.z_i).cpu()
