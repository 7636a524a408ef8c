"""When a job will have ended: measured from how the last ones went, and told with how far off it may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev

from redis import Redis

from contract.connection import outages
from contract.ended import ENDED, Entry, read_entries
from contract.record import JobRecord
from contract.states import JobState

FEWEST = 3
"""With fewer ended jobs there is nothing to estimate from."""
LAST_ENTRIES = 400
LONGEST_AGO_SECONDS = 1800.0
SPREAD = 1.28
"""Four of five values of a normal distribution lie within so many standard deviations."""
BEGUN = 0.05
"""A job that has done less than this share of its work says little about its own speed."""


@dataclass(frozen=True)
class Estimate:
    """Seconds until a job will have ended, and bounds between which four of five such jobs end. `basis`: jobs measured."""

    seconds: float
    low: float
    high: float
    basis: int


@dataclass(frozen=True)
class Pace:
    """How the last jobs went. `durations`: seconds each ran. `gaps`: seconds between the ends of two, while there was work."""

    durations: Sequence[float] = ()
    gaps: Sequence[float] = ()

    def estimate(self, job: JobRecord, now: float) -> Estimate | None:
        """Return when `job` will have ended, seen at `now` (Unix seconds); None for one that has, or when too few have."""
        if len(self.durations) < FEWEST:
            return None
        if job.state is JobState.QUEUED and job.queue_position is not None:
            return self._queued(job.queue_position)
        if job.state is JobState.RUNNING and job.started_at is not None:
            return self._running(job, max(0.0, now - job.started_at.timestamp()))
        return None

    def _queued(self, position: int) -> Estimate:
        """As many ends as there are jobs up to this one, then its own run."""
        gap, run = fmean(self.gaps), fmean(self.durations)
        # The sum of so many gaps varies, and so does what is known of their mean.
        of_gaps = position * (1 + position / len(self.gaps)) * pstdev(self.gaps) ** 2
        return self._within(position * gap + run, math.sqrt(of_gaps + pstdev(self.durations) ** 2))

    def _running(self, job: JobRecord, elapsed: float) -> Estimate:
        done = job.progress.fraction if job.progress else 0.0
        usual = max(0.0, median(self.durations) - elapsed)
        left = elapsed * (1 - done) / done if done >= BEGUN else usual
        return self._within(left, (1 - done) * pstdev(self.durations))

    def _within(self, seconds: float, deviation: float) -> Estimate:
        low, high = max(0.0, seconds - SPREAD * deviation), seconds + SPREAD * deviation
        return Estimate(round(seconds, 1), round(low, 1), round(high, 1), len(self.durations))


def pace_of(entries: Sequence[Entry]) -> Pace:
    """Read the pace from beginnings and ends, the oldest first. Jobs that failed or were canceled say nothing of a run."""
    begun: dict[str, float] = {}
    runs: list[tuple[float, float]] = []
    for entry in entries:
        if entry.state is JobState.RUNNING:
            begun[entry.job_id] = entry.at_seconds
        elif entry.state is JobState.SUCCEEDED and entry.job_id in begun:
            runs.append((entry.at_seconds, entry.at_seconds - begun.pop(entry.job_id)))
    if not runs:
        return Pace()
    ends = [end for end, _ in runs]
    durations = [duration for _, duration in runs]
    # Two ends lie further apart than a run takes only where nobody waited: such a pause is not the pace of a queue.
    gaps = [min(after - before, run) for before, after, run in zip(ends, ends[1:], durations[1:], strict=False)]
    return Pace(durations, gaps or durations)


def read_pace(redis: Redis) -> Pace:
    """Return the pace of the last half hour. Raises QueueDown when Redis does not answer."""
    with outages(), redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.xrevrange(ENDED, count=LAST_ENTRIES)
        (seconds, _), raw = pipe.execute()
    entries = [entry for entry in reversed(read_entries(raw)) if seconds - entry.at_seconds <= LONGEST_AGO_SECONDS]
    return pace_of(entries)
