"""The inversion's stage: from pictures to their x_T under the decoder, by DDIM run backwards (DALL·E 2, §3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.row import DrawRequest, Row
from models.samplers import clamp_x_0, ddim_invert_step, gather, make_plan, predict_eps, predict_x_0
from models.stages.decoder import DecoderStage
from models.stages.diffusion import plan_of
from models.stages.stage import Stage, present


class InvertStage(Stage):
    """All pictures among the sources of a job, each a lane of one row: each under its own z_i, no caption and no guidance.

    Step 0 leaves the picture; the last one ends at noise.
    """

    name = "invert"
    cost = DecoderStage.cost / 2  # no guidance rows

    def __init__(self, decoder: DecoderStage) -> None:
        """decoder: whose net tells the noise."""
        super().__init__(decoder.device, decoder.bucket)
        self.decoder = decoder

    def steps(self, request: DrawRequest) -> int:
        """As many as the request says."""
        return request.inversion_steps

    def enter(self, row: Row) -> None:
        """Stand the row with the pictures of its origin."""
        if row.origin is None:
            raise AssertionError("a row without sources has nothing to invert")
        plan = make_plan(self.decoder.sampling.schedule, "ddim", self.steps(row.request))
        told = [self.decoder.condition(z_i, row.origin.nothing) for z_i in row.origin.embeds.values()]
        row.given = tuple(torch.cat(parts) for parts in zip(*told, strict=True))
        row.x_t, row.plan = torch.cat([*row.origin.small.values()]), plan
        row.stage, row.step, row.steps = self.name, 0, plan.steps

    def advance(self, rows: Sequence[Row]) -> None:
        """One call of the net over all pictures of all rows, each a step nearer to noise."""
        lanes = [len(present(row.x_t)) for row in rows]
        ways = [(plan_of(row), row.steps - 1 - row.step) for row, count in zip(rows, lanes, strict=True) for _ in range(count)]
        at = gather([plan for plan, _ in ways], [place for _, place in ways], self.device)
        x_s = torch.cat([present(row.x_t) for row in rows])
        in_time, context, mask = (torch.cat(parts) for parts in zip(*(row.given for row in rows), strict=True))
        x = self.decoder.net_input(x_s, [None] * len(x_s))
        output = self.decoder.unet(x, at.timestep, in_time, context, mask)
        sampling = self.decoder.sampling
        x_0 = predict_x_0(output, x_s, at.alpha_t, sampling.prediction_type)
        x_0 = clamp_x_0(x_0, torch.full((len(x_s),), sampling.limit, device=self.device))
        x_t = ddim_invert_step(x_s, predict_eps(x_0, x_s, at.alpha_t), at.alpha_s, at.alpha_t)
        for row, own in zip(rows, torch.split(x_t, lanes), strict=True):
            row.x_t = own
            self.settle(row, own)

    def leave(self, row: Row) -> None:
        """Keep each picture's x_T."""
        row.inverted = present(row.x_t)
