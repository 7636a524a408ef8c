"""What all diffusion stages share: one step over a bucket of rows, each with its own plan, guidance and seed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.noise import noise
from models.row import DONE, Row
from models.samplers import Coefficients, Plan, Schedule, clamp_x_0, gather, make_plan, predict_x_0, step


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
        # Asked once here, an unknown name is refused when the model loads and not by every job.
        self.plan(1)
        predict_x_0(torch.zeros(1), torch.zeros(1), torch.ones(1), self.prediction_type)

    def plan(self, steps: int) -> Plan:
        """The plan of one row."""
        return make_plan(self.schedule, self.sampler, steps)


class DiffusionStage(ABC):
    """One stage. `run` is one network call per bucket; a row that takes its last step is moved on to the next stage.

    bucket: how many rows share a network call. Kernels differ in their last bits by batch size, so a row's pixels stay the
    same in any company only while the bucket is fixed: 1 on the CPU, where sharing gains nothing anyway.
    """

    name: str
    cost: float

    def __init__(self, sampling: Sampling, device: str, bucket: int, leave_to: Callable[[Row], None] | None) -> None:
        self.sampling, self.device, self.bucket, self.leave_to = sampling, device, bucket, leave_to

    @abstractmethod
    def enter(self, row: Row) -> None:
        """Set the row up for its first step here."""

    @abstractmethod
    def predict(self, rows: Sequence[Row], x_t: Tensor, at: Coefficients) -> Tensor:
        """The guided output of the net for all lanes. x_t: (lanes, …), `at` of the same lanes."""

    @abstractmethod
    def leave(self, row: Row) -> None:
        """Keep what the row drew here."""

    @torch.inference_mode()
    def run(self, rows: Sequence[Row]) -> None:
        """Advance each row, all of which stand in this stage, by one step. A row whose numbers break gets `failure` set."""
        for start in range(0, len(rows), self.bucket):
            self._step(rows[start : start + self.bucket])

    def begin(self, row: Row, steps: int, shape: tuple[int, ...], streams: Sequence[str]) -> None:
        """Stand the row at step 0 with x_T from its seed, one lane per noise stream."""
        row.stage, row.step, row.plan = self.name, 0, self.sampling.plan(steps)
        row.x_t = torch.stack([noise(row.request.seed, stream, 0, shape) for stream in streams]).to(self.device)
        row.x_0 = torch.zeros_like(row.x_t)

    def _step(self, rows: Sequence[Row]) -> None:
        lanes = [len(present(row.x_t)) for row in rows]
        plans = [plan_of(row) for row, count in zip(rows, lanes, strict=True) for _ in range(count)]
        at = gather(plans, [row.step for row, count in zip(rows, lanes, strict=True) for _ in range(count)], self.device)
        x_t = torch.cat([present(row.x_t) for row in rows])
        x_0_last = torch.cat([present(row.x_0) for row in rows])
        output = self.predict(rows, x_t, at)
        x_0 = predict_x_0(output, x_t, at.alpha_t, self.sampling.prediction_type)
        x_0 = clamp_x_0(x_0, torch.full((len(plans),), self.sampling.limit, device=self.device))
        x_s = step(plans, at, x_t, x_0, x_0_last, self._noises(rows, lanes, x_t))
        lane = 0
        for row, count in zip(rows, lanes, strict=True):
            row.x_t, row.x_0 = x_s[lane : lane + count], x_0[lane : lane + count]
            lane += count
            self._settle(row)

    def _noises(self, rows: Sequence[Row], lanes: Sequence[int], like: Tensor) -> Tensor:
        parts = []
        for row, count in zip(rows, lanes, strict=True):
            shape = like.shape[1:]
            if plan_of(row).is_stochastic:
                streams = [f"{self.name}/{lane}" for lane in range(count)]
                parts += [noise(row.request.seed, stream, row.step + 1, shape) for stream in streams]
            else:
                parts += [torch.zeros(shape)] * count
        return torch.stack(parts).to(self.device)

    def _settle(self, row: Row) -> None:
        if not bool(present(row.x_t).isfinite().all()):
            row.failure = f"{self.name} gave numbers that are not finite at step {row.step + 1} of {row.steps}"
            return
        row.step += 1
        if row.step < row.steps:
            return
        self.leave(row)
        if self.leave_to is None:
            row.stage, row.step, row.plan, row.x_t, row.x_0, row.given = DONE, 0, None, None, None, ()
        else:
            self.leave_to(row)


def present(tensor: Tensor | None) -> Tensor:
    """A row's tensor that its stage has set; its absence is a fault of ours."""
    if tensor is None:
        raise AssertionError("the row stands in a stage that it has not entered")
    return tensor


def plan_of(row: Row) -> Plan:
    """The plan of a row that stands in a stage."""
    if row.plan is None:
        raise AssertionError("the row stands in a stage that it has not entered")
    return row.plan
