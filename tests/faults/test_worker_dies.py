"""kill -9 of a worker, anywhere between the queue and the end of a job: another one finishes it.

That a restarted one does is shown with the real model, in test_real_worker.py.
"""

from __future__ import annotations

import time

import pytest

from contract.states import JobState
from contract.store import ImageStore
from tests.faults.conftest import TTL_SECONDS, is_in_decoder, wait
from tests.faults.installation import pictures_in
from tests.workers.plain import make_spec


def test_a_job_of_a_killed_worker_is_finished_by_one_that_was_there_all_along(jobs, start_worker, fault_settings):
    worker = start_worker(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=250)).id
    wait(jobs, job_id, is_in_decoder)
    start_worker(step_seconds=0.0)
    worker.kill()
    killed_at = time.monotonic()
    assert jobs.fetch(job_id).state is JobState.RUNNING
    record = wait(jobs, job_id)
    assert (record.state, record.attempts) == (JobState.SUCCEEDED, 2)
    assert ImageStore.open(fault_settings).get(record.images[0].id).bytes.startswith(b"\x89PNG")
    # One and a half times the heartbeat's time to live, and room for a busy machine; RQ's own takes minutes.
    assert time.monotonic() - killed_at < 4 * TTL_SECONDS


@pytest.mark.parametrize(
    ("method", "attempts"),
    [
        ("_take", 1),  # its id lies in the intermediate list, and it never began
        ("spec_of", 2),  # claimed, and not yet drawn
        ("succeed", 2),  # its pictures are stored, and nobody knows
    ],
)
def test_a_worker_that_dies_at_a_boundary_loses_nothing(jobs, start_worker, method, attempts):
    worker = start_worker(die_in=method)
    job_id = jobs.submit(make_spec()).id
    worker.process.wait(10)
    start_worker()
    record = wait(jobs, job_id)
    assert (record.state, record.attempts) == (JobState.SUCCEEDED, attempts)


def test_a_canceled_job_leaves_no_picture_though_its_worker_died(jobs, start_worker, fault_settings):
    worker = start_worker(die_in="succeed")
    job_id = jobs.submit(make_spec()).id
    worker.process.wait(10)
    store = ImageStore.open(fault_settings)
    assert pictures_in(store) == [f"{job_id}-0"]
    jobs.cancel(job_id)
    start_worker()
    assert wait(jobs, job_id).state is JobState.CANCELED
    deadline = time.monotonic() + 10
    while pictures_in(store) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert pictures_in(store) == []


def test_many_jobs_through_several_deaths_end_once_each(jobs, start_worker, rq_queue):
    ids = [jobs.submit(make_spec(seed=seed, steps=10, n=1 + seed % 3)).id for seed in range(8)]
    for seconds in (0.15, 0.4):
        worker = start_worker(step_seconds=0.02)
        time.sleep(seconds)
        worker.kill()
    start_worker(step_seconds=0.002)
    assert [wait(jobs, job_id).state for job_id in ids] == [JobState.SUCCEEDED] * len(ids)
    assert (rq_queue.count, rq_queue.connection.llen(rq_queue.intermediate_queue_key)) == (0, 0)
    assert sorted(rq_queue.finished_job_registry.get_job_ids()) == sorted(ids)
    assert rq_queue.started_job_registry.get_job_ids() == []
