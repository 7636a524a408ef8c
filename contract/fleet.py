"""The service as a whole at one moment: its lanes and its workers, read from Redis in a few round trips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from redis import Redis
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text, utcparse

from contract.connection import outages
from contract.lanes import LANES, QUEUES, lane_and_key, list_key, name_of_list
from contract.metrics import WorkerCounters, read_counters


@dataclass(frozen=True)
class QueueState:
    """One lane: how many jobs wait, of how many keys, the age of the oldest, and how many jobs of it workers hold."""

    depth: int = 0
    keys: int = 0
    oldest_seconds: float = 0.0
    running: int = 0


@dataclass(frozen=True)
class Fleet:
    """Lanes and workers, by name."""

    lanes: Mapping[str, QueueState]
    workers: Mapping[str, WorkerCounters]


def read_fleet(redis: Redis, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Fleet:
    """Return the service as it stands. Raises QueueDown."""
    with outages():
        keys = sorted(as_text(key) for key in cast("set[bytes]", redis.smembers(QUEUES)))
        names = [name for name in map(name_of_list, keys) if lane_and_key(name)]
        with redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.llen(list_key(name))
                pipe.lindex(list_key(name), 0)
                pipe.zcard(f"{RQ_KEY_PREFIX}:wip:{name}")
            answers = pipe.execute()
        counts = dict(zip(names, zip(answers[::3], answers[1::3], answers[2::3], strict=True), strict=True))
        ages = _ages(redis, {name: as_text(first) for name, (_, first, _) in counts.items() if first}, clock())
        workers = read_counters(redis)
    lanes: dict[str, QueueState] = {}
    for lane in LANES:
        mine = [name for name in names if name.partition(":")[0] == lane]
        lanes[lane] = QueueState(
            depth=sum(counts[name][0] for name in mine),
            keys=sum(counts[name][0] > 0 for name in mine),
            oldest_seconds=max((ages.get(name, 0.0) for name in mine), default=0.0),
            running=sum(counts[name][2] for name in mine),
        )
    return Fleet(lanes, workers)


def _ages(redis: Redis, first_jobs: Mapping[str, str], now: datetime) -> dict[str, float]:
    """Return how long the first job of each queue has waited, in seconds."""
    with redis.pipeline(transaction=False) as pipe:
        for job_id in first_jobs.values():
            pipe.hget(f"{RQ_KEY_PREFIX}:job:{job_id}", "created_at")
        times = pipe.execute()
    ages = {}
    for name, text in zip(first_jobs, times, strict=True):
        if text:
            created = utcparse(as_text(text))
            created = created if created.tzinfo else created.replace(tzinfo=UTC)
            ages[name] = max(0.0, (now - created).total_seconds())
    return ages
