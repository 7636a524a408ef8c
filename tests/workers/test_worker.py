"""The worker's dealings with a real queue: what each leaves behind, and what stays true when two of them meet."""

from __future__ import annotations

import importlib
import os
import threading
import time

import pytest
from redis.exceptions import ResponseError
from rq.job import JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend
from rq.worker import Worker

from contract.ended import ENDED, read_entries
from contract.queue import DRAW
from contract.record import Progress
from contract.states import JobState
from tests.workers.conftest import RETENTION_SECONDS, TTL_SECONDS
from tests.workers.endings import FAULT, result_of, submitted, taken_from
from tests.workers.plain import make_spec
from workers.worker import Refused


def test_the_name_that_jobs_carry_is_a_function_that_refuses_to_run_alone():
    module, _, name = DRAW.rpartition(".")
    draw = getattr(importlib.import_module(module), name)
    with pytest.raises(RuntimeError, match="unclip worker"):
        draw(spec={})


def test_an_empty_queue_gives_nothing(worker):
    assert worker.claim() is None


def test_jobs_are_claimed_in_the_order_they_came(jobs, worker):
    ids = [submitted(jobs) for _ in range(3)]
    assert [worker.claim().id for _ in range(3)] == ids


def test_one_process_holds_many_executions(jobs, worker):
    for _ in range(4):
        submitted(jobs)
    pid = os.getpid()
    holdings = [worker.claim() for _ in range(4)]
    assert worker.current_execution_count == 4
    assert os.getpid() == pid
    assert {holding.execution.id for holding in holdings} == set(worker.executions)


def test_a_claimed_job_is_running_and_nowhere_else(jobs, worker, redis, rq_queue):
    holding = worker.claim() if submitted(jobs) else None
    assert jobs.fetch(holding.id).state is JobState.RUNNING
    assert redis.lrange(rq_queue.key, 0, -1) == []
    assert redis.lrange(rq_queue.intermediate_queue_key, 0, -1) == []
    assert rq_queue.started_job_registry.get_job_ids(cleanup=False) == [holding.id]


def test_a_spec_arrives_as_it_was_sent(jobs, worker):
    spec = make_spec("a boat — 小船", n=3, seed=2**32 - 1, user="me")
    jobs.submit(spec)
    assert worker.spec_of(worker.claim()) == spec


def test_another_functions_job_is_refused_without_importing_it(rq_queue, worker, tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    rq_queue.enqueue("trap.spring", kwargs={"spec": make_spec().model_dump(mode="json")})
    with pytest.raises(Refused) as refused:
        worker.spec_of(worker.claim())
    assert refused.value.fault.code == "unknown_function"


@pytest.mark.parametrize("spec", [None, {}, {"prompt": "no more"}, "a cat", {**make_spec().model_dump(), "steps": 0}])
def test_a_spec_of_another_shape_is_refused_in_the_end(rq_queue, worker, monkeypatch, spec):
    rq_queue.enqueue(DRAW, kwargs={"spec": spec})
    assert worker.claim() is None
    worker._left_until.clear()
    monkeypatch.setattr("workers.later.PATIENCE_SECONDS", 0)
    with pytest.raises(Refused) as refused:
        worker.spec_of(worker.claim())
    assert refused.value.fault.code == "invalid_spec"


def test_a_spec_that_a_later_release_can_read_is_left_to_it(jobs, rq_queue, worker, redis):
    later = rq_queue.enqueue(DRAW, kwargs={"spec": {**make_spec().model_dump(mode="json"), "new_field": 1}})
    # It has waited for its turn behind many others: that makes it no less readable for the later release.
    redis.hset(later.key, "created_at", "2026-01-01T00:00:00.000000Z")
    ann = submitted(jobs, key="ann")
    taken = [worker.claim(), worker.claim(), worker.claim()]
    assert [holding.id for holding in taken if holding] == [ann], "its queue is left to others, the other queues are not"
    assert (rq_queue.job_ids, later.get_status()) == ([later.id], JobStatus.QUEUED)
    assert [entry.job_id for entry in read_entries(redis.xrange(ENDED))] == [ann]
    worker._left_until.clear()
    behind = submitted(jobs)
    assert worker.claim() is None
    worker._left_until.clear()
    assert worker.claim().id == behind


def test_arguments_that_are_no_json_are_refused(jobs, worker, redis):
    job_id = submitted(jobs)
    redis.hset(f"rq:job:{job_id}", "data", b"\x80\x04pickle")
    with pytest.raises(Refused) as refused:
        worker.spec_of(worker.claim())
    assert refused.value.fault.code == "invalid_spec"


@pytest.mark.parametrize(("field", "value"), [("status", "weird"), ("timeout", "soon"), ("created_at", "never")])
def test_a_record_that_cannot_be_read_is_dropped_and_the_next_job_served(jobs, worker, redis, rq_queue, field, value):
    bad, good = submitted(jobs), submitted(jobs)
    redis.hset(f"rq:job:{bad}", field, value)
    assert worker.claim().id == good
    assert redis.llen(rq_queue.intermediate_queue_key) == 0


def test_an_id_whose_job_has_expired_is_dropped(jobs, worker, redis, rq_queue):
    redis.delete(f"rq:job:{submitted(jobs)}")
    assert worker.claim() is None
    assert redis.llen(rq_queue.intermediate_queue_key) == 0


def test_a_stale_second_entry_of_a_running_job_is_dropped(jobs, new_worker, redis, rq_queue):
    job_id = submitted(jobs)
    new_worker().claim()
    redis.rpush(rq_queue.key, job_id)
    assert new_worker().claim() is None


def test_a_cancel_between_taking_and_starting_wins(jobs, worker, monkeypatch):
    job_id = submitted(jobs)
    read = worker._queued_job

    def cancel_after_reading(*args):
        job = read(*args)
        jobs.cancel(job_id)
        return job

    monkeypatch.setattr(worker, "_queued_job", cancel_after_reading)
    assert worker.claim() is None
    assert jobs.fetch(job_id).state is JobState.CANCELED


def test_success_is_recorded_with_its_result(jobs, worker, rq_queue):
    submitted(jobs)
    holding = worker.claim()
    assert worker.succeed(holding, result_of(holding.id))
    record = jobs.fetch(holding.id)
    assert (record.state, record.images, record.native_size) == (
        JobState.SUCCEEDED,
        result_of(holding.id).images,
        256,
    )
    assert (record.timings, record.truncated_tokens) == ({"decoder": 1.5}, 2)
    assert record.finished_at >= record.started_at
    assert rq_queue.started_job_registry.get_job_ids(cleanup=False) == []
    assert worker.executions == {}


def test_a_finished_job_is_kept_for_its_retention(jobs, worker, redis, settings):
    submitted(jobs)
    holding = worker.claim()
    worker.succeed(holding, result_of(holding.id))
    assert 0 < redis.ttl(f"rq:job:{holding.id}") <= settings.result_ttl_seconds


def test_a_failure_is_recorded_and_not_retried(jobs, worker, rq_queue, redis):
    submitted(jobs)
    holding = worker.claim()
    assert worker.fail(holding, FAULT)
    record = jobs.fetch(holding.id)
    assert (record.state, record.error, record.attempts) == (JobState.FAILED, FAULT, 1)
    assert rq_queue.count == 0
    assert rq_queue.failed_job_registry.get_job_ids() == [holding.id]
    assert redis.ttl(f"rq:job:{holding.id}") > 0


def test_an_end_that_cannot_be_recorded_is_told_again(jobs, worker, monkeypatch):
    submitted(jobs)
    holding = worker.claim()
    monkeypatch.setattr(worker, "increment_failed_job_count", lambda pipeline: pipeline.execute_command("NONSENSE"))
    with pytest.raises(ResponseError):
        worker.fail(holding, FAULT)
    assert holding.execution.id in worker.executions, "the job must be kept alive until its end is recorded"
    monkeypatch.undo()
    assert worker.fail(holding, FAULT)


def test_a_running_job_is_canceled_by_its_flag(jobs, worker, rq_queue, redis):
    submitted(jobs)
    holding = worker.claim()
    jobs.cancel(holding.id)
    assert worker.ended_elsewhere([holding]) == {holding.id: True}
    worker.cancel(holding)
    assert jobs.fetch(holding.id).state is JobState.CANCELED
    assert rq_queue.started_job_registry.get_job_ids(cleanup=False) == []
    assert 0 < redis.ttl(f"rq:job:{holding.id}") <= RETENTION_SECONDS


def test_progress_and_a_cancel_do_not_overwrite_each_other(jobs, worker):
    submitted(jobs)
    holding = worker.claim()
    jobs.cancel(holding.id)
    progress = Progress(stage="decoder", step=3, steps=9, fraction=0.25)
    worker.report([(holding, progress)])
    assert worker.ended_elsewhere([holding]) == {holding.id: True}
    assert jobs.fetch(holding.id).progress == progress


def test_a_job_that_goes_on_is_not_reported_as_ended(jobs, worker):
    submitted(jobs)
    assert worker.ended_elsewhere([worker.claim()]) == {}


def test_a_job_that_vanished_is_reported_as_ended(jobs, worker, redis):
    submitted(jobs)
    holding = worker.claim()
    redis.delete(holding.job.key)
    assert worker.ended_elsewhere([holding]) == {holding.id: False}
    assert worker.succeed(holding, result_of(holding.id)) is False
    assert not redis.exists(holding.job.key)


def test_a_job_handed_back_goes_to_the_head_of_the_queue_and_loses_no_retry(jobs, new_worker, rq_queue):
    first, second = submitted(jobs), submitted(jobs)
    leaving = new_worker()
    leaving.hand_back(leaving.claim())
    assert rq_queue.job_ids == [first, second]
    record = jobs.fetch(first)
    assert (record.state, record.attempts) == (JobState.QUEUED, 0)
    assert new_worker().claim().id == first


def test_a_dead_workers_job_is_queued_again(jobs, new_worker, rq_queue):
    submitted(jobs)
    dead = new_worker()
    holding = dead.claim()
    taken_from(dead, holding)
    record = jobs.fetch(holding.id)
    assert (record.state, record.attempts) == (JobState.QUEUED, 1)


def test_a_job_that_kills_every_worker_fails_in_the_end(jobs, new_worker):
    job_id = submitted(jobs)
    for _ in range(3):
        dead = new_worker()
        taken_from(dead, dead.claim())
    record = jobs.fetch(job_id)
    assert (record.state, record.error.code) == (JobState.FAILED, "poison")


def test_a_beat_keeps_every_execution_alive(jobs, worker, redis, rq_queue):
    for _ in range(3):
        submitted(jobs)
    holdings = [worker.claim() for _ in range(3)]
    redis.zadd(rq_queue.started_job_registry.key, {holding.execution.composite_key: 1 for holding in holdings})
    worker.beat(holdings)
    scores = redis.zrange(rq_queue.started_job_registry.key, 0, -1, withscores=True)
    assert all(redis.time()[0] + TTL_SECONDS - 2 <= score <= redis.time()[0] + TTL_SECONDS + 1 for _, score in scores)


def test_a_beat_brings_back_records_that_expired_during_an_outage(jobs, worker, redis, rq_queue):
    submitted(jobs)
    holding = worker.claim()
    redis.delete(worker.key, worker.executions_key, holding.execution.key)
    redis.srem(worker.redis_workers_keys, worker.key)
    worker.beat([holding])
    [seen] = Worker.all(connection=redis)
    assert (seen.name, seen.get_state()) == (worker.name, "busy")
    [execution] = seen.get_current_executions()
    assert execution.id == holding.execution.id


def test_a_beat_does_not_claim_back_what_was_taken_away(jobs, worker, rq_queue):
    submitted(jobs)
    holding = worker.claim()
    taken_from(worker, holding)
    worker.beat([holding])
    assert rq_queue.started_job_registry.get_job_ids(cleanup=False) == []


def test_handing_back_a_job_whose_record_is_gone_is_no_error(jobs, worker, redis, rq_queue):
    submitted(jobs)
    holding = worker.claim()
    redis.delete(holding.job.key)
    worker.hand_back(holding)
    assert rq_queue.job_ids == []


def test_a_worker_that_stops_leaves_the_list(worker, redis):
    assert len(Worker.all(connection=redis)) == 1
    worker.stop()
    assert Worker.all(connection=redis) == []


def test_an_operators_suspension_is_seen(worker, redis):
    assert not worker.is_suspended
    suspend(redis)
    assert worker.is_suspended
    resume(redis)


def test_rqs_own_loop_is_refused(worker):
    with pytest.raises(NotImplementedError):
        worker.work()


def test_the_connections_short_waits_are_kept(worker, settings):
    kwargs = worker.connection.connection_pool.connection_kwargs
    assert kwargs["socket_timeout"] == settings.queue_reply_timeout_seconds


def test_keys_take_turns_and_batch_waits_until_nobody_watches(jobs, worker):
    for key in ("ann", "ann", "ann", "bob"):
        jobs.submit(make_spec(key=key))
    jobs.submit(make_spec(key="ann", lane="batch"))
    taken = []
    for _ in range(5):
        holding = worker.claim()
        worker.turns.charge(holding.queue.name, 1)
        taken.append(holding.queue.name)
    assert taken[-1] == "batch:ann"
    assert "interactive:bob" in taken[:2]


def test_another_programs_queue_is_left_alone(worker, redis):
    Queue("default", connection=redis, serializer=JSONSerializer).enqueue("os.system")
    worker.discover()
    assert worker.claim() is None
    assert worker.queue_names() == ["interactive:local"]


def test_a_worker_waits_for_a_job_of_any_key(valkey, jobs, worker):
    waiting = threading.Thread(target=lambda: found.append(worker.claim(5)))
    found: list = []
    waiting.start()
    time.sleep(0.1)
    started = time.monotonic()
    job_id = jobs.submit(make_spec(key="zoe", lane="batch")).id
    waiting.join(4)
    assert [holding.id for holding in found] == [job_id]
    assert time.monotonic() - started < 1


def test_a_worker_is_listed_under_the_queues_that_there_are(jobs, worker, redis):
    jobs.submit(make_spec(key="ann"))
    worker.discover()
    worker.beat([])
    [seen] = Worker.all(connection=redis)
    assert seen.queue_names() == ["interactive:ann", "interactive:local"]
    redis.srem("rq:queues", "rq:queue:interactive:ann")
    worker.discover()
    worker.beat([])
    assert redis.smembers("rq:workers:interactive:ann") == set()


def test_status_names_that_are_compared_in_redis_are_what_rq_writes():
    assert (JobStatus.QUEUED.value, JobStatus.STARTED.value) == ("queued", "started")
