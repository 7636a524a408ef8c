"""Which stage runs next, and with which rows: a pure function of what waits. Knows no tensors, jobs or queues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from contract.spec import Lane
from workers.shares import NOTHING_SERVED, Served

T = TypeVar("T")


@dataclass(frozen=True)
class Waiting(Generic[T]):
    """One row that waits for its next step.

    `cost`: of that step, in any unit that all stages share. `remaining`: of all its steps to its last. `since`: seconds on the
    engine's clock, when it was last served, or when it came. `is_new`: it has not been served yet. `lane`, `key`: its job's.
    """

    row: T
    stage: str
    cost: float
    remaining: float
    since: float
    lane: Lane = "interactive"
    key: str = ""
    is_new: bool = False


@dataclass(frozen=True)
class Budget:
    """How much one engine takes on.

    `call_cost`: most that one network call may cost (its head row runs whatever it costs). `patience_seconds`: a row passed
    over for longer goes first. `rows`: in flight at which a lane is full (`workers.room`). `ceilings`: most rows in a call, by
    stage; unnamed ones are bounded by their cost alone. `slack_cost`: how far ahead of the others a lane or an API key may get
    before it is their turn, so that what is begun gets finished instead of taking turns step by step. `is_shared`: whether
    sharing a call gains anything; where it does not, only newcomers do, so that each of them joins at the next call.
    """

    call_cost: float
    patience_seconds: float
    rows: int
    ceilings: Mapping[str, int] = field(default_factory=dict)
    slack_cost: float = 0.0
    is_shared: bool = True

    @classmethod
    def of(cls, device: str, costs: Mapping[str, float], ceilings: Mapping[str, int] | None = None) -> Budget:
        """Return the budget for a device, given each stage's cost of one row's step, and its ceilings where they were measured.

        A CPU gains nothing from large batches, so its calls are of one row: pictures come one after another instead of all
        late, and a newcomer or a cancel waits for a single step. A GPU is fed full batches.
        """
        slack_cost = 4 * max(costs.values())
        if device.startswith("cuda"):
            found = dict.fromkeys(costs, 32) | dict(ceilings or {})
            call_cost = max(costs[stage] * rows for stage, rows in found.items() if stage in costs)
            return cls(call_cost, patience_seconds=0.05, rows=64, ceilings=found, slack_cost=slack_cost)
        return cls(max(costs.values()), patience_seconds=2.0, rows=4, slack_cost=slack_cost, is_shared=False)


@dataclass(frozen=True)
class Batch(Generic[T]):
    """One network call: a stage and the rows that it advances."""

    stage: str
    rows: Sequence[T]


def pick(waiting: Sequence[Waiting[T]], budget: Budget, served: Served = NOTHING_SERVED, *, now: float) -> Batch[T] | None:
    """Choose the next call, or None when nothing waits. `waiting`: oldest first. `served`: what lanes and keys have had so far.

    First whose turn it is: the interactive lane's unless the batch lane is owed, and in it any API key's that is not too far
    ahead. Then the head: a newcomer, so that a row joins at the next call; else whoever was passed over beyond the
    budget's patience; else the row with the least left to do, which makes the mean wait shortest and keeps memory small. The
    call is then filled with rows of the head's stage, its own lane's and then the other's, keys served least first and oldest
    first, up to the first that does not fit: the head always runs, and nobody is skipped to make room for a smaller one.
    """
    lane = served.turn({entry.lane for entry in waiting}, budget.slack_cost)
    if lane is None:
        return None
    mine = [entry for entry in waiting if entry.lane == lane]
    head = head_of(mine, budget, served, now)
    if budget.is_shared:
        others = [entry for entry in waiting if entry.lane != lane]
        here = in_turn(mine, head, served) + in_turn(others, head, served)
    else:
        here = in_turn([entry for entry in mine if entry.is_new], head, served) if head.is_new else []
    return Batch(head.stage, [head.row, *(entry.row for entry in within(budget, head, here))])


def head_of(waiting: Sequence[Waiting[T]], budget: Budget, served: Served, now: float) -> Waiting[T]:
    """Return the row that runs whatever it costs. `waiting`: of one lane, not empty."""
    newcomers = [entry for entry in waiting if entry.is_new]
    if newcomers:
        return min(newcomers, key=lambda entry: entry.since)
    keys = served.keys_in_turn({entry.key for entry in waiting}, waiting[0].lane, budget.slack_cost)
    candidates = [entry for entry in waiting if entry.key in keys]
    longest = min(candidates, key=lambda entry: entry.since)
    if now - longest.since > budget.patience_seconds:
        return longest
    return min(candidates, key=lambda entry: entry.remaining)


def in_turn(waiting: Sequence[Waiting[T]], head: Waiting[T], served: Served) -> list[Waiting[T]]:
    """Return who may join the head's call, in the order in which they do."""
    here = [entry for entry in waiting if entry.stage == head.stage and entry is not head]
    return sorted(here, key=lambda entry: served.of_key(entry.lane, entry.key))  # a stable sort: oldest first in each key


def within(budget: Budget, head: Waiting[T], others: Iterable[Waiting[T]]) -> Iterable[Waiting[T]]:
    """Yield those that fit in the head's call, stopping at the first that does not."""
    ceiling = budget.ceilings.get(head.stage)
    rows, cost = 1, head.cost
    for entry in others:
        rows, cost = rows + 1, cost + entry.cost
        if cost > budget.call_cost or (ceiling is not None and rows > ceiling):
            return
        yield entry
