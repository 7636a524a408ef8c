"""What one worker counts: the engine's thread and the clerk's add to it, the clerk publishes it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from contract.metrics import StageCounters, WorkerCounters
from contract.record import JobFault, JobResult

PUBLISH = "publish"
"""Name of the time that encoding and storing takes, among the stages' names in a result's timings."""


@dataclass
class StageTally:
    """One stage's counts."""

    calls: int = 0
    row_steps: int = 0
    seconds: float = 0.0


class Tally:
    """Counters since the worker's start. Each number has one writing thread; a reader may see a call half counted."""

    def __init__(self, model: str = "", device: str = "", clock: Callable[[], float] = time.time) -> None:
        self._model, self._device, self._clock = model, device, clock
        self._started_at = clock()
        self._stages: dict[str, StageTally] = {}
        self._failed: Counter[str] = Counter()
        self._pictures = self._blocked = self._succeeded = self._canceled = self._handed_back = self._halved = 0
        self._published_seconds = 0.0

    def called(self, stage: str, rows: int, seconds: float) -> None:
        """Count one network call that advanced so many rows."""
        counts = self._stages.setdefault(stage, StageTally())
        counts.calls += 1
        counts.row_steps += rows
        counts.seconds += seconds

    def halved(self) -> None:
        """Count a call that raised and is tried again in halves."""
        self._halved += 1

    def ended(self, outcome: JobResult | JobFault | None) -> None:
        """Count a job whose end was recorded; None: it was canceled."""
        if outcome is None:
            self._canceled += 1
        elif isinstance(outcome, JobFault):
            self._failed[outcome.code] += 1
        else:
            self._succeeded += 1
            self._pictures += len(outcome.images)
            self._blocked += len(outcome.blocked)
            self._published_seconds += outcome.timings.get(PUBLISH, 0.0)

    def handed_back(self) -> None:
        """Count a job that went back to the queue unfinished."""
        self._handed_back += 1

    def counters(self, rows_in_flight: int, jobs_in_hand: int) -> WorkerCounters:
        """Return all counts as they are published."""
        return WorkerCounters(
            started_at=self._started_at,
            at=self._clock(),
            model=self._model,
            device=self._device,
            stages={
                name: StageCounters(calls=counts.calls, row_steps=counts.row_steps, seconds=round(counts.seconds, 6))
                for name, counts in list(self._stages.items())
            },
            pictures=self._pictures,
            blocked=self._blocked,
            succeeded=self._succeeded,
            canceled=self._canceled,
            failed=dict(self._failed),
            handed_back=self._handed_back,
            halved=self._halved,
            published_seconds=round(self._published_seconds, 6),
            rows_in_flight=rows_in_flight,
            jobs_in_hand=jobs_in_hand,
        )
