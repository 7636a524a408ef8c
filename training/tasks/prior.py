"""The diffusion prior: the unnoised z_i from the caption, by mean squared error on x_0 (DALL·E 2, §2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.nets.prior import PriorTransformer
from models.samplers.schedule import Schedule
from training.bank import Captions
from training.sampling import draw, similarity_map, stratified

DROP_CONDITION = 0.1


class PriorTask:
    """Trains on the z_i of placed pictures and a chance caption of their object."""

    name = "prior"

    def __init__(self, net: PriorTransformer, z_i: Tensor, objects: Tensor, captions: Captions, schedule: Schedule) -> None:
        self.net, self.z_i, self.objects, self.captions, self.schedule = net, z_i, objects, captions, schedule

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """Mean squared error of the normalised z_i at stratified timesteps."""
        device = self.z_i.device
        chosen = torch.randint(len(self.z_i), (batch,), generator=generator)
        t = stratified(batch, self.schedule.timesteps, generator).to(device)
        dropped = (torch.rand(batch, generator=generator) < DROP_CONDITION).to(device)
        text = self.captions.take(self.captions.choose(self.objects[chosen], generator), dropped)
        x_0 = self.net.normalise(self.z_i[chosen])
        noise = torch.randn(x_0.shape, generator=generator).to(device)
        predicted = self.net(self.schedule.diffuse(x_0, noise, t), t, text.embeds, text.tokens, text.mask)
        return nn.functional.mse_loss(predicted.float(), x_0)

    @torch.inference_mode()
    def grid(self, net: nn.Module) -> Tensor:
        """z_i drawn from each object's first caption against the mean z_i of its pictures, by cosine similarity."""
        first = self.captions.first[:-1]
        text = self.captions.take(first, torch.zeros(len(first), dtype=torch.bool, device=self.z_i.device))

        def x_0_of(z_t: Tensor, t: Tensor) -> Tensor:
            x_0: Tensor = net(z_t, t, text.embeds, text.tokens, text.mask)
            return x_0

        drawn = draw(
            x_0_of, self.schedule, (len(first), self.z_i.shape[1]), "sample", limit=float("inf"), device=self.z_i.device
        )
        means = torch.stack([self.z_i[self.objects == number].mean(0) for number in range(len(first))])
        return similarity_map(self.net.denormalise(drawn), means).cpu()
