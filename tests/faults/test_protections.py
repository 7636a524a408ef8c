"""Each protection switched off once: the loss that it prevents is then really there, and tests can see it."""

from __future__ import annotations

import contextlib
import secrets
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from contract.ended import ENDED, read_entries
from contract.errors import ImageNotFound, JobNotFound, QueueDown
from contract.queue import JobQueue, connect
from contract.states import JobState
from contract.store import ImageStore
from tests.faults.conftest import TTL_SECONDS, is_in_decoder, wait
from tests.faults.servers import DurableValkey
from tests.workers.plain import make_spec


def test_without_recovery_a_killed_workers_job_never_ends(jobs, start_worker):
    worker = start_worker(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=100)).id
    wait(jobs, job_id, is_in_decoder)
    worker.kill()
    start_worker(without="recovery")
    time.sleep(2 * TTL_SECONDS)
    assert jobs.fetch(job_id).state is JobState.RUNNING


def test_without_the_intermediate_list_a_job_dies_with_the_worker_that_took_it(jobs, start_worker):
    worker = start_worker(die_in="_take", without="intermediate list")
    job_id = jobs.submit(make_spec()).id
    worker.process.wait(10)
    start_worker()
    time.sleep(2 * TTL_SECONDS)
    record = jobs.fetch(job_id)
    assert (record.state, record.queue_position) == (JobState.QUEUED, None)


def test_without_attempts_a_worker_that_comes_back_late_ends_a_job_again(jobs, redis, start_worker):
    late = start_worker(step_seconds=0.02, without="attempts")
    job_id = jobs.submit(make_spec(steps=40)).id
    wait(jobs, job_id, is_in_decoder)
    late.process.send_signal(signal.SIGSTOP)
    start_worker()
    wait(jobs, job_id)
    late.process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and ends(redis)[job_id] < 2:
        time.sleep(0.05)
    assert ends(redis)[job_id] == 2


def ends(redis) -> Counter[str]:
    return Counter(entry.job_id for entry in read_entries(redis.xrange(ENDED)) if entry.state.is_terminal)


def test_without_the_order_of_storing_and_telling_a_done_job_cannot_be_read(jobs, start_worker, fault_settings):
    start_worker(without="order")
    record = wait(jobs, jobs.submit(make_spec()).id)
    assert record.state is JobState.SUCCEEDED
    with pytest.raises(ImageNotFound):
        ImageStore.open(fault_settings).get(record.images[0].id)


@pytest.mark.parametrize("protection", ["append-only file", "noeviction"])
def test_a_valkey_set_up_otherwise_forgets_jobs(fault_settings, tmp_path: Path, protection):
    is_kept = protection != "append-only file"
    valkey = DurableValkey(tmp_path / "careless", *(() if is_kept else ("--appendonly", "no")))
    valkey.begin()
    try:
        with connect(valkey.valkey.url, fault_settings) as redis:
            jobs = JobQueue(redis, fault_settings)
            if is_kept:
                redis.config_set("maxmemory-policy", "allkeys-lru")
                redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) + 300_000)
            ids = []
            for seed in range(60):
                with contextlib.suppress(QueueDown):  # what comes faster than the server forgets, it refuses
                    ids.append(jobs.submit(make_spec(secrets.token_hex(5000), seed=seed)).id)
            if not is_kept:
                valkey.end()
                valkey.begin()
            assert forgotten(jobs, ids) > 0
    finally:
        valkey.end()


def forgotten(jobs: JobQueue, ids: list[str]) -> int:
    """Count the jobs that are not there any more."""
    count = 0
    for job_id in ids:
        try:
            jobs.fetch(job_id)
        except JobNotFound:
            count += 1
    return count
