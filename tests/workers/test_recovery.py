"""Jobs of workers that died, at every point between the queue and their end."""

from __future__ import annotations

import time

import pytest

from contract.ended import ENDED, read_entries
from contract.record import JobResult
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


def silence(redis, holding) -> None:
    """Let a worker's lease run out."""
    redis.zadd(holding.queue.started_job_registry.key, {holding.execution.composite_key: time.time() - 1})


def lose(recovery, clock, redis, worker) -> str:
    """Have a worker take a job and die of it."""
    holding = worker.claim()
    silence(redis, holding)
    recovery.run(holding.queue)
    clock.now += GRACE_SECONDS
    recovery.run(holding.queue)
    return holding.id


def test_a_job_whose_worker_fell_silent_goes_back_to_the_head_of_its_queue(jobs, worker, recovery, clock, rq_queue, redis):
    first, second = jobs.submit(make_spec()).id, jobs.submit(make_spec()).id
    assert lose(recovery, clock, redis, worker) == first
    assert rq_queue.job_ids == [first, second]
    record = jobs.fetch(first)
    assert (record.state, record.attempts) == (JobState.QUEUED, 1)


def test_a_job_that_stops_three_workers_is_poison(jobs, new_worker, recovery, clock, rq_queue, redis):
    job_id, other = jobs.submit(make_spec()).id, jobs.submit(make_spec()).id
    for _ in range(3):
        assert lose(recovery, clock, redis, new_worker()) == job_id
    record = jobs.fetch(job_id)
    assert (record.state, record.error.code, record.attempts) == (JobState.FAILED, "poison", 3)
    assert rq_queue.job_ids == [other]
    assert rq_queue.failed_job_registry.get_job_ids() == [job_id]
    assert read_entries(redis.xrevrange(ENDED))[0].state is JobState.FAILED


def test_what_was_drawn_beside_poison_is_drawn_in_the_end(jobs, new_worker, recovery, clock, rq_queue, redis):
    good, poison, better = (jobs.submit(make_spec(key=key)).id for key in ("ann", "local", "local"))
    for _ in range(8):
        worker, held = new_worker(), []
        while holding := worker.claim() or worker.claim():
            held.append(holding)
        if poison in [holding.id for holding in held]:
            for holding in held:
                silence(redis, holding)
            queues = [holding.queue for holding in held]
            recovery.run(*queues)
            clock.now += GRACE_SECONDS
            recovery.run(*queues)
        else:
            for holding in held:
                worker.succeed(holding, JobResult(images=(), native_size=64))
    assert [jobs.fetch(job_id).state for job_id in (good, poison, better)] == [
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.SUCCEEDED,
    ]


def test_a_job_on_its_last_try_waits_for_an_empty_worker(jobs, worker, redis):
    first, last = jobs.submit(make_spec()).id, jobs.submit(make_spec()).id
    redis.hset(f"rq:job:{last}", "retries_left", 0)
    other = jobs.submit(make_spec(key="ann")).id
    held = [holding for _ in range(3) if (holding := worker.claim())]
    assert last not in [holding.id for holding in held]
    assert worker.claim() is None, "nothing more is taken, or it would wait for ever"
    for holding in held:
        worker.succeed(holding, JobResult(images=(), native_size=64))
    taken = worker.claim()
    while taken.id != last:
        worker.succeed(taken, JobResult(images=(), native_size=64))
        taken = worker.claim() or worker.claim()
    jobs.submit(make_spec(key="bob"))
    assert worker.claim() is None
    assert {jobs.fetch(job_id).state for job_id in (first, other)} <= {JobState.SUCCEEDED, JobState.QUEUED}


def test_handing_back_is_no_loss(jobs, new_worker, recovery, clock, redis):
    job_id = jobs.submit(make_spec()).id
    for _ in range(5):
        leaving = new_worker()
        leaving.hand_back(leaving.claim())
    assert lose(recovery, clock, redis, new_worker()) == job_id
    assert jobs.fetch(job_id).state is JobState.QUEUED


def test_a_lost_job_that_was_to_be_canceled_is_canceled(jobs, worker, recovery, clock, rq_queue, redis):
    job_id = jobs.submit(make_spec()).id
    holding = worker.claim()
    jobs.cancel(job_id)
    silence(redis, holding)
    assert recovery.run(rq_queue) == []
    clock.now += GRACE_SECONDS
    assert recovery.run(rq_queue) == [job_id]
    assert (jobs.fetch(job_id).state, rq_queue.job_ids) == (JobState.CANCELED, [])


def test_the_remains_of_an_earlier_run_do_not_disturb_the_present_one(jobs, new_worker, recovery, clock, rq_queue, redis):
    jobs.submit(make_spec())
    earlier, present = new_worker(), new_worker()
    old = earlier.claim()
    earlier.hand_back(old)
    redis.zadd(rq_queue.started_job_registry.key, {old.execution.composite_key: time.time() - 1})
    holding = present.claim()
    recovery.run(rq_queue)
    clock.now += GRACE_SECONDS
    present.beat([holding])
    recovery.run(rq_queue)
    assert jobs.fetch(holding.id).state is JobState.RUNNING
    assert redis.zrange(rq_queue.started_job_registry.key, 0, -1) == [holding.execution.composite_key.encode()]


def test_a_wrong_clock_takes_no_job_from_a_worker_that_beats(jobs, worker, recovery, clock, rq_queue, redis, monkeypatch):
    """A host whose clock is an hour slow writes leases that have long run out; it lives all the same."""
    jobs.submit(make_spec())
    holding = worker.claim()
    for _ in range(5):
        redis.zadd(rq_queue.started_job_registry.key, {holding.execution.composite_key: time.time() - 3600 + clock.now})
        recovery.run(rq_queue)
        clock.now += GRACE_SECONDS / 2
    assert jobs.fetch(holding.id).state is JobState.RUNNING


def test_a_fast_clock_does_not_hide_a_death(jobs, worker, recovery, clock, rq_queue, redis):
    """A lease that runs for another hour, by a clock that was an hour fast."""
    job_id = jobs.submit(make_spec()).id
    holding = worker.claim()
    redis.zadd(rq_queue.started_job_registry.key, {holding.execution.composite_key: time.time() + 3600})
    for _ in range(5):
        recovery.run(rq_queue)
        clock.now += GRACE_SECONDS / 2
    assert rq_queue.job_ids == [job_id]


def test_whoever_stood_still_looks_again_before_judging(jobs, worker, recovery, clock, rq_queue, redis):
    jobs.submit(make_spec())
    holding = worker.claim()
    silence(redis, holding)
    recovery.run(rq_queue)
    clock.now += 10 * GRACE_SECONDS
    recovery.run(rq_queue)
    assert jobs.fetch(holding.id).state is JobState.RUNNING


def test_a_record_that_cannot_be_read_holds_up_nobody(jobs, worker, recovery, clock, rq_queue, redis):
    bad, good = jobs.submit(make_spec()).id, jobs.submit(make_spec()).id
    for holding in (worker.claim(), worker.claim()):
        silence(redis, holding)
    redis.hset(f"rq:job:{bad}", "created_at", "never")
    recovery.run(rq_queue)
    clock.now += GRACE_SECONDS
    recovery.run(rq_queue)
    assert rq_queue.job_ids == [good]


def test_a_queue_of_which_nothing_is_left_leaves_the_list(jobs, worker, recovery, redis):
    holding = worker.claim() if jobs.submit(make_spec(key="ann")) else None
    recovery.run(holding.queue)
    assert redis.sismember("rq:queues", holding.queue.key), "a job of it is running"
    worker.cancel(holding)
    redis.delete("unclip:housekeeping")
    recovery.run(holding.queue)
    assert redis.sismember("rq:queues", holding.queue.key), "its canceled job is remembered"
    redis.zadd(f"rq:canceled:{holding.queue.name}", {holding.id: 1})
    redis.delete("unclip:housekeeping")
    recovery.run(holding.queue)
    assert not redis.sismember("rq:queues", holding.queue.key)


def test_a_job_whose_worker_beats_is_left_alone(jobs, worker, recovery, rq_queue):
    jobs.submit(make_spec())
    worker.claim()
    recovery.run(rq_queue)
    assert rq_queue.job_ids == []


def test_a_worker_that_dies_during_recovery_does_not_hold_up_the_next_one(jobs, worker, recovery, clock, rq_queue, redis):
    # RQ's own lock, left behind by a dead worker, would stop recovery for a quarter of an hour.
    rq_queue.acquire_maintenance_lock()
    job_id = jobs.submit(make_spec()).id
    lose(recovery, clock, redis, worker)
    assert rq_queue.job_ids == [job_id]


def test_two_recoveries_at_once_queue_a_job_once(taken, jobs, worker, redis, clock, rq_queue):
    lost = jobs.submit(make_spec()).id
    silence(redis, worker.claim())
    both = [Recovery(redis, GRACE_SECONDS, clock) for _ in range(2)]
    for each in both:
        each.run(rq_queue)
    clock.now += GRACE_SECONDS
    for each in both:
        each.run(rq_queue)
    assert sorted(rq_queue.job_ids) == sorted([taken, lost])


def test_canceled_jobs_leave_their_registry_when_they_expire(recovery, rq_queue, redis):
    registry = rq_queue.canceled_job_registry
    redis.zadd(registry.key, {"old": time.time() - 1, "new": time.time() + 60})
    recovery.run(rq_queue)
    assert redis.zrange(registry.key, 0, -1) == [b"new"]
