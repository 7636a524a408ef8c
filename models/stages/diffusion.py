"""What all diffusion stages share: one denoising step over a bucket of rows, each with its own plan, guidance and seed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.noise import noise
from models.row import DrawRequest, Row
from models.samplers import Coefficients, Plan, Schedule, clamp_x_0, gather, make_plan, predict_x_0, step
from models.stages.stage import Stage, present


class Sampling:
    """How a stage samples: its noise schedule, what its net predicts, its sampler; read from a scheduler config.

    Raises SamplingError for a name that is not known.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.schedule = Schedule.named(config["beta_schedule"], config["num_train_timesteps"])
        self.prediction_type: str = config["prediction_type"]
        self.sampler: str = config.get("sampler", "ddpm")
        self.limit = 1.0 if config["clip_sample"] else float("inf")
        self.augmentation_level: int = config.get("augmentation_level", 0)
        self.steps: int | None = config.get("steps")
        """How many steps the net was trained for, whatever a request says; None: the request says it."""
        # Asked once here, an unknown name is refused when the model loads and not by every job.
        self.plan(1)
        predict_x_0(torch.zeros(1), torch.zeros(1), torch.ones(1), self.prediction_type)

    def plan(self, steps: int) -> Plan:
        """The plan of one row."""
        return make_plan(self.schedule, self.sampler, steps)


class DiffusionStage(Stage):
    """A stage whose rows go from noise to what they want by their own plans."""

    noise_name: str | None = None
    """Under which x_T is drawn from a row's seed, where that is not the stage's own name."""

    def __init__(self, sampling: Sampling, device: str, bucket: int) -> None:
        super().__init__(device, bucket)
        self.sampling = sampling

    @abstractmethod
    def predict(self, rows: Sequence[Row], x_t: Tensor, at: Coefficients) -> Tensor:
        """The guided output of the net for all lanes. x_t: (lanes, …), `at` of the same lanes."""

    def plan(self, request: DrawRequest) -> Plan:
        """How a request's row travels here: by the model's own sampler."""
        return self.sampling.plan(self.steps(request))

    def begin(self, row: Row, shape: tuple[int, ...], streams: Sequence[str]) -> None:
        """Stand the row at step 0 with x_T from its seed, one lane per noise stream."""
        self.stand(row, torch.stack([noise(row.noise_seed, stream, 0, shape) for stream in streams]).to(self.device))

    def stand(self, row: Row, x_t: Tensor) -> None:
        """Stand the row at step 0 of its plan. x_t: (lanes, …).

        Whatever may raise comes first: a row stands here wholly or not at all, and can be handed on again.
        """
        plan, x_0 = self.plan(row.request), torch.zeros_like(x_t)
        row.x_t, row.x_0, row.plan, row.tokens = x_t, x_0, plan, None
        row.stage, row.step, row.steps = self.name, 0, plan.steps

    def begin_picture(self, row: Row, size_px: int) -> None:
        """`begin` for a picture of that size, with what the request's inpainting says of it."""
        row.known = row.request.inpainting.at(size_px, self.device) if row.request.inpainting else None
        self.begin(row, (3, size_px, size_px), [self.noise_name or self.name])

    def drawn(self, row: Row) -> Tensor:
        """The picture of a row that took its last step, (1, 3, S, S) in [-1, 1]; what was known of it is as it was."""
        picture = present(row.x_t).clamp(-1, 1)
        return row.known.blend(picture) if row.known else picture

    def advance(self, rows: Sequence[Row]) -> None:
        """One call of the net over all lanes, then each lane's own step."""
        lanes = [len(present(row.x_t)) for row in rows]
        plans = [plan_of(row) for row, count in zip(rows, lanes, strict=True) for _ in range(count)]
        at = gather(plans, [row.step for row, count in zip(rows, lanes, strict=True) for _ in range(count)], self.device)
        x_t = torch.cat([present(row.x_t) for row in rows])
        x_0_last = torch.cat([present(row.x_0) for row in rows])
        output = self.predict(rows, x_t, at)
        x_0 = predict_x_0(output, x_t, at.alpha_t, self.sampling.prediction_type)
        x_0 = clamp_x_0(x_0, torch.full((len(plans),), self.sampling.limit, device=self.device))
        own = zip(rows, torch.split(x_0, lanes), strict=True)
        x_0 = torch.cat([row.known.hold(lane) if row.known else lane for row, lane in own])
        x_s = step(plans, at, x_t, x_0, x_0_last, self._noises(rows, lanes, x_t))
        finite = x_s.flatten(1).isfinite().all(dim=1).tolist()  # one answer from the device for all lanes
        lane = 0
        for row, count in zip(rows, lanes, strict=True):
            row.x_t, row.x_0 = x_s[lane : lane + count], x_0[lane : lane + count]
            self.count(row, all(finite[lane : lane + count]))
            lane += count

    def _noises(self, rows: Sequence[Row], lanes: Sequence[int], like: Tensor) -> Tensor:
        parts = []
        for row, count in zip(rows, lanes, strict=True):
            shape = like.shape[1:]
            if plan_of(row).is_stochastic:
                streams = [f"{self.name}/{lane}" for lane in range(count)]
                parts += [noise(row.noise_seed, stream, row.step + 1, shape) for stream in streams]
            else:
                parts += [torch.zeros(shape)] * count
        return torch.stack(parts).to(self.device)


def plan_of(row: Row) -> Plan:
    """The plan of a row that stands in a stage."""
    if row.plan is None:
        raise AssertionError("the row stands in a stage that it has not entered")
    return row.plan
