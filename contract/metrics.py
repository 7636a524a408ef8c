"""What workers count, published beside their heartbeat so that the API's /metrics shows the whole fleet.

One hash per worker, `unclip:metrics:<worker>`, with one field of JSON; it expires when its worker has been silent for long.
Counters run from the worker's start and only grow; gauges say what is so now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis import Redis
from redis.client import Pipeline

WORKERS_KEY = "unclip:metrics"
"""Sorted set of the workers that publish, by when their counters expire."""
FIELD = "counters"


class _Counts(BaseModel):
    # A newer release may count more; what this one does not know it leaves out.
    model_config = ConfigDict(frozen=True, extra="ignore")


class StageCounters(_Counts):
    """One stage's network calls, the row steps that they advanced, and the seconds that they took."""

    calls: int = 0
    row_steps: int = 0
    seconds: float = 0.0


class WorkerCounters(_Counts):
    """Everything that one worker counts.

    `stages`: by name; `text` counts captions read in. `failed`: jobs by the code of their fault. `blocked`: pictures that
    the filter kept back. `halved`: calls that raised and were tried again in halves. `published_seconds`: encoding and
    storing. Gauges: `rows_in_flight` in the engine, `jobs_in_hand` including those whose pictures wait for the store. Times
    in Unix seconds.
    """

    started_at: float = 0.0
    at: float = 0.0
    model: str = ""
    device: str = ""
    stages: Mapping[str, StageCounters] = Field(default_factory=dict)
    pictures: int = 0
    blocked: int = 0
    succeeded: int = 0
    canceled: int = 0
    failed: Mapping[str, int] = Field(default_factory=dict)
    handed_back: int = 0
    halved: int = 0
    published_seconds: float = 0.0
    rows_in_flight: int = 0
    jobs_in_hand: int = 0


def metrics_key(worker: str) -> str:
    """Return the key of a worker's counters."""
    return f"unclip:metrics:{worker}"


def post_counters(pipe: Pipeline | Redis, worker: str, counters: WorkerCounters, ttl_seconds: int) -> None:
    """Publish a worker's counters for `ttl_seconds`. With a pipeline: as a part of it."""
    key = metrics_key(worker)
    pipe.hset(key, FIELD, counters.model_dump_json())
    pipe.expire(key, ttl_seconds)
    pipe.zadd(WORKERS_KEY, {worker: counters.at + ttl_seconds})
    pipe.zremrangebyscore(WORKERS_KEY, "-inf", counters.at)


def read_counters(redis: Redis) -> Mapping[str, WorkerCounters]:
    """Return the counters of every worker that has published lately, by its name."""
    names = [name.decode() for name in cast("list[bytes]", redis.zrange(WORKERS_KEY, 0, -1))]
    with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hget(metrics_key(name), FIELD)
        texts = pipe.execute()
    found = {}
    for name, text in zip(names, texts, strict=True):
        try:
            if text is not None:
                found[name] = WorkerCounters.model_validate_json(text)
        except ValidationError:
            continue  # of a release that counts otherwise
    return found
