"""What all stages share: rows stand in one, take steps there, and are handed on after the last."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.row import DONE, DrawRequest, Row


class Stage(ABC):
    """One stage. `run` is one network call per bucket; a row that takes its last step is moved on to the next stage.

    bucket: how many rows share a network call. Kernels differ in their last bits by batch size, so a row's pixels stay the
    same in any company only while the bucket is fixed: 1 on the CPU, where sharing gains nothing anyway.
    """

    name: str
    cost: float

    def __init__(self, device: str, bucket: int) -> None:
        self.device, self.bucket = device, bucket
        self.onward: Callable[[Row], None] = finish
        """Takes the rows that are through with this stage; the cascade's, once the stage is part of one."""

    @abstractmethod
    def steps(self, request: DrawRequest) -> int:
        """How many steps a request's row takes here."""

    @abstractmethod
    def enter(self, row: Row) -> None:
        """Set the row up for its first step here."""

    @abstractmethod
    def advance(self, rows: Sequence[Row]) -> None:
        """Advance a bucket of rows by one step in one network call."""

    @abstractmethod
    def leave(self, row: Row) -> None:
        """Keep what the row drew here."""

    @torch.inference_mode()
    def run(self, rows: Sequence[Row]) -> None:
        """Advance each row, all of which stand in this stage, by one step. A row whose numbers break gets `failure` set.

        A row that took its last step in a call that then raised, before it was handed on, is only handed on.
        """
        for row in rows:
            if row.step >= row.steps:
                self.hand_on(row)
        left = [row for row in rows if row.stage == self.name]
        for start in range(0, len(left), self.bucket):
            self.advance(left[start : start + self.bucket])

    def settle(self, row: Row, numbers: Tensor) -> None:
        """Count a step that gave a row these numbers; after its last one hand the row on."""
        self.count(row, bool(numbers.isfinite().all()))

    def count(self, row: Row, is_finite: bool) -> None:
        """Count a step that went well or not; after the last one hand the row on."""
        if not is_finite:
            row.failure = f"{self.name} gave numbers that are not finite at step {row.step + 1} of {row.steps}"
            return
        row.step += 1
        if row.step == row.steps:
            self.hand_on(row)

    def hand_on(self, row: Row) -> None:
        """Keep what the row drew here, and send it on its way."""
        self.leave(row)
        self.onward(row)


def finish(row: Row) -> None:
    """Mark a row done and let go of what its last stage needed."""
    row.stage, row.step, row.steps, row.plan, row.x_t, row.x_0 = DONE, 0, 0, None, None, None
    row.given, row.away, row.known = (), (), None


def present(tensor: Tensor | None) -> Tensor:
    """A row's tensor that its stage has set; its absence is a fault of ours."""
    if tensor is None:
        raise AssertionError("the row stands in a stage that it has not entered")
    return tensor
