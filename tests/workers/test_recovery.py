"""Jobs of workers that died, at every point between the queue and their end."""

from __future__ import annotations

import time

import pytest

from contract.states import JobState
from tests.workers.plain import make_spec
from workers.recovery import Recovery

GRACE_SECONDS = 4.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recovery(redis, clock) -> Recovery:
    return Recovery(redis, GRACE_SECONDS, clock)


@pytest.fixture
def taken(jobs, redis, rq_queue) -> str:
    """A job whose worker died right after it took the id."""
    job_id = jobs.submit(make_spec()).id
    redis.lmove(rq_queue.key, rq_queue.intermediate_queue_key)
    return job_id


def test_a_job_taken_by_a_dead_worker_goes_back_to_the_head_of_its_queue(taken, jobs, recovery, clock, rq_queue):
    later = jobs.submit(make_spec()).id
    recovery.run(rq_queue)
    clock.now += GRACE_SECONDS
    recovery.run(rq_queue)
    assert rq_queue.job_ids == [taken, later]
    assert jobs.fetch(taken).state is JobState.QUEUED


def test_a_job_taken_a_moment_ago_is_left_alone(taken, recovery, clock, rq_queue, redis):
    recovery.run(rq_queue)
    clock.now += GRACE_SECONDS / 2
    recovery.run(rq_queue)
    assert redis.lrange(rq_queue.intermediate_queue_key, 0, -1) == [taken.encode()]


def test_a_job_taken_twice_is_timed_from_the_second_time(taken, recovery, clock, rq_queue, redis):
    recovery.run(rq_queue)
    redis.lmove(rq_queue.intermediate_queue_key, rq_queue.key)
    clock.now += GRACE_SECONDS
    recovery.run(rq_queue)
    redis.lmove(rq_queue.key, rq_queue.intermediate_queue_key)
    recovery.run(rq_queue)
    assert rq_queue.job_ids == []


@pytest.mark.parametrize("ending", ["canceled", "gone"])
def test_a_taken_job_that_needs_no_work_is_dropped(taken, jobs, recovery, clock, rq_queue, redis, ending):
    if ending == "canceled":
        redis.hset(f"rq:job:{taken}", "status", "canceled")
    else:
        redis.delete(f"rq:job:{taken}")
    recovery.run(rq_queue)
    clock.now += GRACE_SECONDS
    recovery.run(rq_queue)
    assert (rq_queue.job_ids, redis.llen(rq_queue.intermediate_queue_key)) == ([], 0)


def test_a_job_whose_worker_fell_silent_goes_back_to_its_queue(jobs, worker, recovery, rq_queue, redis):
    job_id = jobs.submit(make_spec()).id
    holding = worker.claim()
    redis.zadd(rq_queue.started_job_registry.key, {holding.execution.composite_key: time.time() - 1})
    recovery.run(rq_queue)
    assert rq_queue.job_ids == [job_id]


def test_a_job_whose_worker_beats_is_left_alone(jobs, worker, recovery, rq_queue):
    jobs.submit(make_spec())
    worker.claim()
    recovery.run(rq_queue)
    assert rq_queue.job_ids == []


def test_a_worker_that_dies_during_recovery_does_not_hold_up_the_next_one(jobs, worker, recovery, rq_queue, redis):
    # RQ's own lock, left behind by a dead worker, would stop recovery for a quarter of an hour.
    rq_queue.acquire_maintenance_lock()
    job_id = jobs.submit(make_spec()).id
    holding = worker.claim()
    redis.zadd(rq_queue.started_job_registry.key, {holding.execution.composite_key: time.time() - 1})
    recovery.run(rq_queue)
    assert rq_queue.job_ids == [job_id]


def test_two_recoveries_at_once_queue_a_taken_job_once(taken, redis, clock, rq_queue):
    both = [Recovery(redis, GRACE_SECONDS, clock) for _ in range(2)]
    for each in both:
        each.requeue_taken(rq_queue)
    clock.now += GRACE_SECONDS
    for each in both:
        each.requeue_taken(rq_queue)
    assert rq_queue.job_ids == [taken]


def test_canceled_jobs_leave_their_registry_when_they_expire(recovery, rq_queue, redis):
    registry = rq_queue.canceled_job_registry
    redis.zadd(registry.key, {"old": time.time() - 1, "new": time.time() + 60})
    recovery.run(rq_queue)
    assert redis.zrange(registry.key, 0, -1) == [b"new"]
