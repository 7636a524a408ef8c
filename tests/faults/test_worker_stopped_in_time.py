"""SIGSTOP past the lease: a worker taken for dead comes back and knows nothing of it. Its late word counts for nothing."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from contract.ended import ENDED, read_entries
from contract.states import JobState
from contract.store import ImageStore
from tests.faults.conftest import is_in_decoder, wait
from tests.workers.plain import make_spec


@pytest.mark.parametrize("comes_back", ["after the other is done", "while the other draws"])
def test_a_worker_that_comes_back_late_ends_nothing(jobs, start_worker, redis, fault_settings, comes_back):
    first = start_worker(step_seconds=0.02)
    job_id = jobs.submit(make_spec(steps=40)).id
    wait(jobs, job_id, is_in_decoder)
    first.process.send_signal(signal.SIGSTOP)
    start_worker(step_seconds=0.0 if comes_back.startswith("after") else 0.03)
    until = (
        (lambda record: record.state.is_terminal) if comes_back.startswith("after") else (lambda record: record.attempts == 2)
    )
    wait(jobs, job_id, until)
    first.process.send_signal(signal.SIGCONT)
    record = wait(jobs, job_id)
    time.sleep(0.5)
    ends = Counter(entry.job_id for entry in read_entries(redis.xrange(ENDED)) if entry.state.is_terminal)
    assert (record.state, record.attempts, ends) == (JobState.SUCCEEDED, 2, {job_id: 1})
    assert jobs.fetch(job_id).finished_at == record.finished_at
    assert len(ImageStore.open(fault_settings).get(record.images[0].id).bytes) == record.images[0].bytes
    # And it is a worker like any other again.
    assert first.process.poll() is None
