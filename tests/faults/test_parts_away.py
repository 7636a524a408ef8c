"""Valkey or the store goes away while jobs are drawn, and comes back."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from contract.errors import ImageNotFound, QueueDown
from contract.states import JobState
from contract.store import ImageStore, image_id
from tests.conftest import free_port, rclone_binary, wait_for_port
from tests.faults.conftest import TTL_SECONDS, is_in_decoder, wait
from tests.workers.plain import make_spec


def test_a_job_is_drawn_and_stored_while_the_queue_is_away_and_told_when_it_is_back(
    jobs, start_worker, outages, fault_settings
):
    start_worker(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=50)).id
    wait(jobs, job_id, is_in_decoder)
    outages.end()
    # Drawing and storing must not wait for the queue.
    assert stored(ImageStore.open(fault_settings), image_id(job_id, 0)).startswith(b"\x89PNG")
    time.sleep(1.5 * TTL_SECONDS)
    outages.begin()
    record = wait(jobs, job_id)
    assert (record.state, record.attempts) == (JobState.SUCCEEDED, 1)


def stored(store: ImageStore, image: str, seconds: float = 10) -> bytes:
    """Return a picture once it is in the store."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ImageNotFound):
            return store.get(image).bytes
        time.sleep(0.05)
    raise TimeoutError(f"{image} is not in the store")


def test_a_queue_that_answers_nothing_for_longer_than_a_heartbeat_costs_no_attempt(jobs, start_worker, outages):
    start_worker(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=170)).id
    wait(jobs, job_id, is_in_decoder)
    outages.freeze()
    time.sleep(1.5 * TTL_SECONDS)
    outages.thaw()
    record = wait(jobs, job_id)
    assert (record.state, record.attempts) == (JobState.SUCCEEDED, 1)


def test_new_jobs_are_served_after_an_outage(jobs, start_worker, outages):
    start_worker()
    outages.end()
    time.sleep(0.5)
    outages.begin()
    assert wait(jobs, jobs.submit(make_spec()).id).state is JobState.SUCCEEDED


def test_a_worker_started_before_the_queue_waits_for_it(jobs, start_worker, outages):
    outages.end()
    worker = start_worker(is_ready=False)
    worker.wait_for("the queue does not answer")
    outages.begin()
    worker.wait_for("worker ready")
    assert wait(jobs, jobs.submit(make_spec()).id).state is JobState.SUCCEEDED


def test_a_worker_can_be_stopped_while_the_queue_is_away(jobs, start_worker, outages):
    worker = start_worker(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=20)).id
    wait(jobs, job_id, is_in_decoder)
    outages.end()
    worker.process.terminate()
    time.sleep(1.2)
    worker.process.terminate()
    assert worker.process.wait(10) == 0
    with pytest.raises(QueueDown):
        jobs.ping()
    outages.begin()
    start_worker()
    assert wait(jobs, job_id).state is JobState.SUCCEEDED


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[tuple[int, Callable[[], subprocess.Popen[bytes]]]]:
    """A real S3 server that the test starts itself, as often as it likes, on one port."""
    port = free_port()
    (tmp_path / "buckets" / "pictures").mkdir(parents=True)
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [
            *(str(rclone_binary()), "serve", "s3", str(tmp_path / "buckets"), "--addr", f"127.0.0.1:{port}"),
            *("--auth-key", "access-key,secret-key-secret-key", "--config", os.devnull, "--vfs-cache-mode", "writes"),
            *("--cache-dir", str(tmp_path / "cache")),
        ]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for_port(port)
        return started[-1]

    yield port, start
    for process in started:
        process.kill()
        process.wait(10)


def test_a_picture_waits_for_a_store_that_is_away(jobs, start_worker, fault_settings, s3):
    port, start_s3 = s3
    settings = fault_settings.model_copy(
        update={
            "storage_url": "s3://pictures/faults",
            "storage_endpoint_url": f"http://127.0.0.1:{port}",
            "storage_access_key_id": "access-key",
            "storage_secret_access_key": SecretStr("secret-key-secret-key"),
        }
    )
    worker = start_worker(settings=settings)
    job_id = jobs.submit(make_spec()).id
    worker.wait_for("the image store does not answer")
    assert jobs.fetch(job_id).state is JobState.RUNNING
    start_s3()
    record = wait(jobs, job_id)
    assert ImageStore.open(settings).get(record.images[0].id).bytes.startswith(b"\x89PNG")
