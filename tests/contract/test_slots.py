"""Places for the unfinished jobs of a key: never more than its limit, and none lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from redis import Redis
from rq.job import Job

from contract.errors import TooManyJobs
from contract.slots import RESERVED_SECONDS, JobSlots
from tests.conftest import Valkey


def begin(redis: Redis, job_id: str, status: str = "queued") -> None:
    redis.hset(Job.key_for(job_id), "status", status)


def take(slots: JobSlots, redis: Redis, job_id: str, limit: int = 2) -> None:
    with slots.slot("key", limit) as give:
        begin(redis, job_id)
        give(job_id)


def test_a_key_has_so_many_places_and_no_more(redis: Redis) -> None:
    slots = JobSlots(redis)
    take(slots, redis, "a")
    take(slots, redis, "b")
    with pytest.raises(TooManyJobs, match="2 unfinished jobs"):
        take(slots, redis, "c")


@pytest.mark.parametrize("status", ["finished", "failed", "canceled", "stopped", None])
def test_an_ended_job_gives_its_place_back(redis: Redis, status: str | None) -> None:
    slots = JobSlots(redis)
    take(slots, redis, "a")
    take(slots, redis, "b")
    if status:
        begin(redis, "a", status)
    else:
        redis.delete(Job.key_for("a"))
    take(slots, redis, "c")
    with pytest.raises(TooManyJobs):
        take(slots, redis, "d")


def test_a_running_job_keeps_its_place(redis: Redis) -> None:
    slots = JobSlots(redis)
    take(slots, redis, "a", limit=1)
    begin(redis, "a", "started")
    with pytest.raises(TooManyJobs):
        take(slots, redis, "b", limit=1)


def test_a_submission_that_fails_gives_its_place_back(redis: Redis) -> None:
    slots = JobSlots(redis)
    with pytest.raises(ZeroDivisionError), slots.slot("key", 1):
        raise ZeroDivisionError
    take(slots, redis, "a", limit=1)


def test_a_place_reserved_by_a_process_that_died_runs_out(redis: Redis) -> None:
    now = 1000.0
    slots = JobSlots(redis, clock=lambda: now)
    died = slots.slot("key", 1)
    died.__enter__()  # and never left
    with pytest.raises(TooManyJobs):
        take(slots, redis, "a", limit=1)
    now += RESERVED_SECONDS + 1
    take(slots, redis, "a", limit=1)


def test_other_keys_are_not_counted(redis: Redis) -> None:
    slots = JobSlots(redis)
    take(slots, redis, "a", limit=1)
    with slots.slot("other", 1) as give:
        give("b")


def test_without_a_limit_nothing_is_kept(redis: Redis) -> None:
    with JobSlots(redis).slot("key", None) as give:
        give("a")
    assert redis.keys() == []


def test_a_rush_gets_exactly_the_limit(valkey: Valkey) -> None:
    barrier = Barrier(8)

    def rush(index: int) -> bool:
        with valkey.client() as redis:
            slots = JobSlots(redis)
            barrier.wait()
            try:
                take(slots, redis, f"job{index}", limit=3)
            except TooManyJobs:
                return False
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(rush, range(8))) == 3
