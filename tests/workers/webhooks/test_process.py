"""`unclip webhooks` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rq.job import Job

from contract.queue import JobQueue
from contract.settings import Settings
from contract.webhooks import EVENT_TYPES, WebhookBook
from tests.conftest import Valkey
from tests.contract.test_queue import SPEC
from tests.workers.webhooks.test_webhooks import Receiver, receiving

__all__ = ["receiving"]
ROOT = Path(__file__).resolve().parents[3]


def test_it_tells_what_becomes_of_jobs_and_stops_when_asked(
    valkey: Valkey, settings: Settings, receiving: Callable[..., Receiver]
) -> None:
    receiver, redis = receiving(), valkey.client()
    WebhookBook(redis).create("local", receiver.url, EVENT_TYPES)
    wanted = {"UNCLIP_REDIS_URL": valkey.url, "UNCLIP_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8"}
    wanted["UNCLIP_WORKER_HEARTBEAT_TTL_SECONDS"] = "2"
    process = subprocess.Popen(
        [sys.executable, "-m", "unclip", "webhooks"], cwd=ROOT, env={**os.environ, **wanted}, stderr=subprocess.PIPE
    )
    try:
        jobs = JobQueue(redis, settings)
        # As a worker of an old release ends a job: without a word.
        silent_id = jobs.submit(SPEC).id
        redis.hset(Job.key_for(silent_id), "status", "stopped")
        job_id = jobs.cancel(jobs.submit(SPEC).id).id
        deadline = time.monotonic() + 60
        while len(receiver.got) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
        redis.close()
    events = [json.loads(body) for _, body in receiver.got]
    assert [(event["type"], event["data"]["id"]) for event in events] == [("job.canceled", job_id), ("job.canceled", silent_id)]
    assert process.returncode == 0
    assert b"a webhook was delivered" in said
    assert b"whsec_" not in said


def test_it_holds_no_torch() -> None:
    script = (
        "import sys, workers.webhooks.main; print([name for name in ('torch', 'models', 'service') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
