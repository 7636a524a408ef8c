"""The prior's stage: two candidate z_i per row, of which the one nearer to the caption goes on (DALL·E 2, §2.2)."""

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

CANDIDATES = 2


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
        """Stand the row before its first step."""
        streams = [f"{self.name}/{candidate}" for candidate in range(CANDIDATES)]
        self.begin(row, (self.net.config.embedding_dim,), streams)

    def predict(self, rows: Sequence[Row], x_t: Tensor, at: Coefficients) -> Tensor:
        """x_0 of every candidate, (2 B, D); candidates of rows without guidance meet the net once."""
        scale = torch.tensor([row.request.prior_guidance_scale for row in rows for _ in range(CANDIDATES)], device=self.device)
        guided = (scale != 1).nonzero().flatten()
        texts = [row.text for row in rows for _ in range(CANDIDATES)] + [self.empty] * len(guided)
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
        """Keep the candidate with the higher dot product with z_t, over D: 1 where both are one embedding of CLIP's."""
        z_i = self.net.denormalise(present(row.x_t))
        scores = (z_i * row.text.embeds).mean(dim=-1)
        row.candidate_scores = tuple(scores.tolist())
        row.z_i = z_i[scores.argmax()][None]
