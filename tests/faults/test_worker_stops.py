"""SIGTERM at any moment: what is in hand is finished or handed back, and the process leaves in time."""

from __future__ import annotations

import time

import pytest

from contract.states import JobState
from tests.faults.conftest import is_in_decoder, wait
from tests.workers.plain import make_spec


def test_a_stopped_worker_finishes_its_job_and_exits_cleanly(jobs, start_worker):
    worker = start_worker(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=40)).id
    wait(jobs, job_id, is_in_decoder)
    assert worker.terminate() == 0
    assert jobs.fetch(job_id).state is JobState.SUCCEEDED


def test_a_worker_stopped_while_its_model_loads_leaves_at_once(start_worker):
    worker = start_worker(load_seconds=30, is_ready=False)
    worker.wait_for("worker starts")
    worker.process.terminate()
    assert worker.process.wait(3) == 0


def test_a_worker_that_cannot_finish_in_time_hands_its_job_to_the_next_at_once(jobs, start_worker, fault_settings):
    worker = start_worker(step_seconds=0.1, settings=fault_settings.model_copy(update={"drain_seconds": 0.3}))
    job_id = jobs.submit(make_spec(steps=250)).id
    wait(jobs, job_id, is_in_decoder)
    assert worker.terminate() == 0
    assert jobs.fetch(job_id).state is JobState.QUEUED
    start_worker()
    record = wait(jobs, job_id, seconds=5)
    assert (record.state, record.attempts) == (JobState.SUCCEEDED, 1)


def test_no_moment_to_stop_at_loses_a_job(jobs, start_worker, rq_queue, fault_settings):
    hasty = fault_settings.model_copy(update={"drain_seconds": 0.0})
    ids = [jobs.submit(make_spec(seed=seed, steps=10)).id for seed in range(12)]
    for seconds in (0.0, 0.03, 0.2):
        worker = start_worker(step_seconds=0.005, settings=hasty)
        time.sleep(seconds)
        assert worker.terminate() == 0
        assert rq_queue.connection.llen(rq_queue.intermediate_queue_key) == 0
        assert rq_queue.started_job_registry.get_job_ids(cleanup=False) == []
    start_worker()
    records = [wait(jobs, job_id) for job_id in ids]
    assert {record.state for record in records} == {JobState.SUCCEEDED}
    assert {record.attempts for record in records} == {1}, "being handed back costs no retry"


@pytest.mark.parametrize("hook", ["claim", "_take", "spec_of", "beat", "report", "put", "succeed", "stop"])
def test_a_worker_told_to_stop_at_any_hook_leaves_nothing_behind(jobs, start_worker, rq_queue, fault_settings, hook):
    hasty = fault_settings.model_copy(update={"drain_seconds": 0.1})
    worker = start_worker(step_seconds=0.01, stop_in=hook, settings=hasty, is_ready=False)
    job_id = jobs.submit(make_spec(steps=10)).id
    if hook == "stop":
        worker.wait_for("worker ready")
        worker.process.terminate()
    assert worker.process.wait(30) == 0
    assert rq_queue.connection.llen(rq_queue.intermediate_queue_key) == 0
    assert rq_queue.started_job_registry.get_job_ids(cleanup=False) == []
    if not jobs.fetch(job_id).state.is_terminal:
        start_worker()
    record = wait(jobs, job_id)
    assert (record.state, record.attempts) == (JobState.SUCCEEDED, 1)
