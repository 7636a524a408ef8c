"""The prior's stage: some candidate z_i per caption, of which the one nearest to it goes on (DALL·E 2, §2.2: two)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.clip.text import TextFeatures
from models.nets.prior import PriorTransformer
from models.row import DrawRequest, Row
from models.samplers import Coefficients, guide
from models.stages.diffusion import DiffusionStage, Sampling
from models.stages.stage import present


class PriorStage(DiffusionStage):
    """Caption to CLIP image embedding."""

    name = "prior"
    cost = 1.0

    def __init__(
        self,
        net: PriorTransformer,
        empty: TextFeatures,
        sampling: Sampling,
        *,
        device: str,
        bucket: int,
    ) -> None:
        """empty: features of the empty caption, which stand for a dropped one."""
        super().__init__(sampling, device, bucket)
        self.net, self.empty = net, empty

    def steps(self, request: DrawRequest) -> int:
        """As many as the request says."""
        return request.prior_steps

    def enter(self, row: Row) -> None:
        """Stand the row before its first step, with a lane for each candidate of each caption."""
        streams = [f"{self.name}/{candidate}" for _ in captions(row) for candidate in range(row.request.prior_candidates)]
        self.begin(row, (self.net.config.embedding_dim,), streams)

    def predict(self, rows: Sequence[Row], x_t: Tensor, at: Coefficients) -> Tensor:
        """x_0 of every candidate, (lanes, D); candidates of rows without guidance meet the net once."""
        told = [(row.request, text) for row in rows for text in captions(row) for _ in range(row.request.prior_candidates)]
        scale = torch.tensor([request.prior_guidance_scale for request, _ in told], device=self.device)
        guided = (scale != 1).nonzero().flatten()
        texts = [text for _, text in told] + [self.empty] * len(guided)
        lanes = torch.cat([torch.arange(len(x_t), device=self.device), guided])
        output: Tensor = self.net(
            x_t[lanes],
            at.timestep[lanes],
            torch.cat([text.embeds for text in texts]),
            torch.cat([text.tokens for text in texts]),
            torch.cat([text.mask for text in texts]),
        )
        cond, uncond = output[: len(x_t)], output[len(x_t) :]
        mixed = cond.clone()
        mixed[guided] = guide(cond[guided], uncond, scale[guided])
        return mixed

    def leave(self, row: Row) -> None:
        """Keep each caption's best."""
        keep_best(row, self.net.denormalise(present(row.x_t)))


def captions(row: Row) -> tuple[TextFeatures, ...]:
    """The captions whose z_i a row is to draw."""
    return row.texts or (row.text,)


def keep_best(row: Row, z_i: Tensor) -> None:
    """Keep, of each caption's candidates, the one with the highest dot product with z_t, over D: 1 where both are the same.

    z_i: (captions · candidates, D).
    """
    scores: list[float] = []
    found = []
    for text, own in zip(captions(row), torch.split(z_i, row.request.prior_candidates), strict=True):
        own_scores = (own * text.embeds).mean(dim=-1)
        scores += own_scores.tolist()
        found.append(own[own_scores.argmax()][None])
    row.candidate_scores, row.prior_found, row.z_i = tuple(scores), tuple(found), found[0]
