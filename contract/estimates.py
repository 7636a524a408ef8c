"""When a job will have ended: measured from how the last ones went, and told with how far off it may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from redis import Redis

from contract.connection import outages
from contract.ended import ENDED, Entry, read_entries
from contract.record import JobRecord
from contract.states import JobState
from contract.work import work_of

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
    """How the last jobs went. `durations`: seconds each ran. `gaps`: seconds between the ends of two, while there was work.

    works: how much work each was, 0 where nobody said: then all are taken to be alike.
    """

    durations: Sequence[float] = ()
    gaps: Sequence[float] = ()
    works: Sequence[float] = ()

    def estimate(self, job: JobRecord, now: float) -> Estimate | None:
        """Return when `job` will have ended, seen at `now` (Unix seconds); None for one that has, or when too few have."""
        if len(self.durations) < FEWEST:
            return None
        if job.state is JobState.QUEUED and job.queue_position is not None:
            return self._queued(job.queue_position, work_of(job.spec))
        if job.state is JobState.RUNNING and job.started_at is not None:
            return self._running(job, max(0.0, now - job.started_at.timestamp()))
        return None

    def run(self, work: float) -> tuple[float, float]:
        """Return how many seconds so much work runs, and by how many that is usually off.

        In proportion to the work: a job of twice the row-steps runs twice as long, as long as as many share the engine.
        """
        known = [(seconds, size) for seconds, size in zip(self.durations, self.works, strict=False) if size > 0]
        if len(known) < FEWEST or work <= 0:
            return fmean(self.durations), pstdev(self.durations)
        pace = fmean(seconds for seconds, _ in known) / fmean(size for _, size in known)
        off = math.sqrt(fmean((seconds - size * pace) ** 2 for seconds, size in known))
        # What is off grows with the job: nothing is known of one larger than all before it.
        return work * pace, off * max(1.0, work / max(size for _, size in known))

    def _queued(self, position: int, work: float) -> Estimate:
        """As many ends as there are jobs up to this one, which are taken to be as large as the last ones; then its own run."""
        gap, (run, off) = fmean(self.gaps), self.run(work)
        # The sum of so many gaps varies, and so does what is known of their mean.
        of_gaps = position * (1 + position / len(self.gaps)) * pstdev(self.gaps) ** 2
        return self._within(position * gap + run, math.sqrt(of_gaps + off**2))

    def _running(self, job: JobRecord, elapsed: float) -> Estimate:
        done = job.progress.fraction if job.progress else 0.0
        run, off = self.run(work_of(job.spec))
        left = elapsed * (1 - done) / done if done >= BEGUN else max(0.0, run - elapsed)
        return self._within(left, (1 - done) * off)

    def _within(self, seconds: float, deviation: float) -> Estimate:
        low, high = max(0.0, seconds - SPREAD * deviation), seconds + SPREAD * deviation
        return Estimate(round(seconds, 1), round(low, 1), round(high, 1), len(self.durations))


def pace_of(entries: Sequence[Entry]) -> Pace:
    """Read the pace from beginnings and ends, the oldest first. Jobs that failed or were canceled say nothing of a run."""
    begun: dict[str, float] = {}
    runs: list[tuple[float, float, float]] = []
    for entry in entries:
        if entry.state is JobState.RUNNING:
            begun[entry.job_id] = entry.at_seconds
        elif entry.state is JobState.SUCCEEDED and entry.job_id in begun:
            runs.append((entry.at_seconds, entry.at_seconds - begun.pop(entry.job_id), entry.work))
    if not runs:
        return Pace()
    ends = [end for end, _, _ in runs]
    durations = [duration for _, duration, _ in runs]
    # Two ends lie further apart than a run takes only where nobody waited: such a pause is not the pace of a queue.
    gaps = [min(after - before, run) for before, after, run in zip(ends, ends[1:], durations[1:], strict=False)]
    return Pace(durations, gaps or durations, [work for _, _, work in runs])


def read_pace(redis: Redis) -> Pace:
    """Return the pace of the last half hour. Raises QueueDown when Redis does not answer."""
    with outages(), redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.xrevrange(ENDED, count=LAST_ENTRIES)
        (seconds, _), raw = pipe.execute()
    entries = [entry for entry in reversed(read_entries(raw)) if seconds - entry.at_seconds <= LONGEST_AGO_SECONDS]
    return pace_of(entries)
