"""Which stage runs next, and with which rows: a pure function of what waits. Knows no tensors, jobs or queues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Load(Generic[T]):
    """What waits at one stage: rows, oldest first.

    `cost`: of one row's step, in any unit that all stages share. `waiting_since`: seconds on the engine's clock, when this
    stage last ran, or when its first row came.
    """

    stage: str
    cost: float
    rows: Sequence[T]
    waiting_since: float


@dataclass(frozen=True)
class Budget:
    """How much one engine takes on.

    `call_cost`: most that one network call may cost (its head row runs whatever it costs). `patience_seconds`: a stage passed
    over for longer goes first. `rows`: rows in flight at which no further job is claimed.
    """

    call_cost: float
    patience_seconds: float
    rows: int

    @classmethod
    def of(cls, device: str, costs: Sequence[float]) -> Budget:
        """Return the budget for a device, given each stage's cost of one row's step.

        A CPU gains nothing from large batches, so a call costs no more than the dearest single step: that bounds how long a
        cancel or a newcomer waits. A GPU is fed full batches.
        """
        if device.startswith("cuda"):
            return cls(call_cost=32 * max(costs), patience_seconds=0.02, rows=64)
        return cls(call_cost=max(costs), patience_seconds=0.25, rows=4)


@dataclass(frozen=True)
class Batch(Generic[T]):
    """One network call: a stage and the rows that it advances."""

    stage: str
    rows: Sequence[T]


def pick(loads: Sequence[Load[T]], budget: Budget, *, now: float) -> Batch[T] | None:
    """Choose the next call, or None when nothing waits. `loads` come in order of travel.

    Downstream first, so that what is begun gets finished and memory stays small; but a stage passed over beyond the budget's
    patience goes before that, so that newcomers move on while others are still being drawn. Within a stage: oldest first,
    stopping at the first row that does not fit, never skipping the head.
    """
    waiting = [load for load in loads if load.rows]
    if not waiting:
        return None
    neglected = min(waiting, key=lambda load: load.waiting_since)
    load = neglected if now - neglected.waiting_since > budget.patience_seconds else waiting[-1]
    return Batch(load.stage, load.rows[: rows_within(load.cost, budget.call_cost)])


def rows_within(cost: float, call_cost: float) -> int:
    """Return how many rows of one cost fit in a call: at least the head."""
    return max(1, int(call_cost / cost)) if cost > 0 else 1
