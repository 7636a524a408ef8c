"""A Valkey whose memory is used up: new jobs are refused, and none that was taken is forgotten."""

from __future__ import annotations

from random import Random

from contract.errors import QueueDown
from contract.queue import JobQueue
from contract.states import JobState
from tests.faults.conftest import wait
from tests.workers.plain import make_spec

PROMPT_BYTES = 5_000


def fill(jobs: JobQueue) -> list[str]:
    """Submit jobs until they are refused; returns the ids of those that were taken."""
    ids: list[str] = []
    random = Random(7)  # records are kept compressed; noise does not shrink
    while True:
        try:
            ids.append(jobs.submit(make_spec(random.randbytes(PROMPT_BYTES).hex(), seed=len(ids), steps=1)).id)
        except QueueDown:
            return ids


def test_jobs_are_refused_when_memory_is_used_up_and_those_taken_are_all_drawn_once_there_is_more(jobs, redis, start_worker):
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) + 200_000)
    ids = fill(jobs)
    assert ids
    assert {jobs.fetch(job_id).state for job_id in ids} == {JobState.QUEUED}
    redis.config_set("maxmemory", 0)
    start_worker()
    assert {wait(jobs, job_id).state for job_id in ids} == {JobState.SUCCEEDED}


def test_a_worker_that_starts_while_memory_is_used_up_waits(jobs, redis, start_worker):
    job_id = jobs.submit(make_spec()).id
    redis.config_set("maxmemory", 1)
    worker = start_worker(is_ready=False)
    worker.wait_for("the queue does not answer")
    redis.config_set("maxmemory", 0)
    assert wait(jobs, job_id).state is JobState.SUCCEEDED


def test_a_worker_outlives_a_queue_that_refuses_its_words(jobs, redis, start_worker):
    worker = start_worker(step_seconds=0.01)
    job_id = jobs.submit(make_spec(steps=30)).id
    wait(jobs, job_id, lambda record: record.state is JobState.RUNNING)
    redis.config_set("maxmemory", 1)
    worker.wait_for("the queue does not answer|OOM")
    redis.config_set("maxmemory", 0)
    record = wait(jobs, job_id)
    assert (record.state, record.attempts) == (JobState.SUCCEEDED, 1)
