"""The job queue on a real Valkey."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from contract.errors import JobNotCancelable, JobNotFound, QueueDown, QueueFull
from contract.queue import CANCEL_FIELD, DRAW, JobQueue, connect, queue_name
from contract.settings import Settings
from contract.spec import GenerateSpec
from contract.states import JobState
from tests.conftest import Valkey, free_port, start_valkey, stop

SPEC = GenerateSpec(
    model="unclip-bootstrap",
    prompt="a red apple",
    n=2,
    size="256x256",
    seed=7,
    steps=20,
    guidance_scale=3.0,
    prior_steps=10,
    prior_guidance_scale=2.0,
    upsample_steps=8,
)
IMAGE = {"index": 0, "seed": 7, "width": 256, "height": 256, "content_type": "image/png", "bytes": 1234}


@pytest.fixture
def jobs(redis: Redis, settings: Settings) -> JobQueue:
    return JobQueue(redis, settings)


def rq_job(redis: Redis, job_id: str) -> Job:
    return Job.fetch(job_id, connection=redis, serializer=JSONSerializer)


def start(redis: Redis, job_id: str) -> Job:
    """What a worker does when it claims a job."""
    redis.lrem(Queue(queue_name(), connection=redis).key, 1, job_id)
    job = rq_job(redis, job_id)
    with redis.pipeline() as pipe:
        job.prepare_for_execution("worker-1", pipe)
        pipe.execute()
    return job


def succeed(redis: Redis, job_id: str, result: object) -> None:
    job = start(redis, job_id)
    job._result = result
    with redis.pipeline() as pipe:
        job._handle_success(job.result_ttl, pipe)
        pipe.execute()


def fail(redis: Redis, job_id: str, error: dict[str, str] | None) -> None:
    job = start(redis, job_id)
    if error:
        job.meta["error"] = error
        job.save_meta()
    with redis.pipeline() as pipe:
        job.set_status(JobStatus.FAILED, pipeline=pipe)
        job._handle_failure("Traceback (most recent call last): secret", pipe)
        pipe.execute()


def test_a_submitted_job_is_queued_and_first_in_line(jobs: JobQueue) -> None:
    record = jobs.submit(SPEC)
    assert (record.state, record.queue_position, record.spec, record.attempts) == (JobState.QUEUED, 1, SPEC, 0)


def test_a_fetched_job_equals_the_submitted_one(jobs: JobQueue) -> None:
    record = jobs.submit(SPEC)
    assert jobs.fetch(record.id) == record


def test_the_next_job_waits_behind(jobs: JobQueue) -> None:
    jobs.submit(SPEC)
    assert jobs.submit(SPEC).queue_position == 2


def test_depth_counts_what_waits(jobs: JobQueue) -> None:
    jobs.submit(SPEC)
    jobs.submit(SPEC)
    assert jobs.depth() == 2


def test_the_job_names_the_drawing_function_in_json(jobs: JobQueue, redis: Redis) -> None:
    job = rq_job(redis, jobs.submit(SPEC).id)
    assert json.loads(job.data) == [DRAW, None, [], {"spec": SPEC.model_dump(mode="json")}]


def test_the_prompt_stays_out_of_what_rq_logs(jobs: JobQueue, redis: Redis) -> None:
    assert "apple" not in str(rq_job(redis, jobs.submit(SPEC).id).description)


def test_a_full_queue_refuses(redis: Redis, settings: Settings) -> None:
    jobs = JobQueue(redis, settings.model_copy(update={"max_queue_depth": 1}))
    jobs.submit(SPEC)
    with pytest.raises(QueueFull, match="limit is 1"):
        jobs.submit(SPEC)


def test_a_full_queue_keeps_nothing_of_the_refused_job(redis: Redis, settings: Settings) -> None:
    jobs = JobQueue(redis, settings.model_copy(update={"max_queue_depth": 1}))
    jobs.submit(SPEC)
    with pytest.raises(QueueFull):
        jobs.submit(SPEC)
    assert len(redis.keys("rq:job:*")) == 1


def test_a_running_job_tells_stage_and_step(jobs: JobQueue, redis: Redis) -> None:
    job = start(redis, jobs.submit(SPEC).id)
    job.meta["progress"] = {"stage": "decoder", "step": 3, "steps": 20, "fraction": 0.4}
    job.save_meta()
    record = jobs.fetch(job.id)
    assert record.progress is not None
    assert (record.state, record.progress.stage, record.progress.step) == (JobState.RUNNING, "decoder", 3)


def test_a_succeeded_job_has_its_pictures(jobs: JobQueue, redis: Redis) -> None:
    job_id = jobs.submit(SPEC).id
    image = {"id": f"{job_id}-0", **IMAGE}
    succeed(redis, job_id, {"images": [image], "native_size": 256, "timings": {"prior": 0.5}, "truncated_tokens": 3})
    record = jobs.fetch(job_id)
    assert [picture.model_dump(exclude_defaults=True) for picture in record.images] == [image]
    assert (record.state, record.native_size, record.truncated_tokens) == (JobState.SUCCEEDED, 256, 3)


def test_a_failed_job_tells_what_its_worker_wrote(jobs: JobQueue, redis: Redis) -> None:
    job_id = jobs.submit(SPEC).id
    fail(redis, job_id, {"code": "numerical_failure", "message": "the picture has values that are not numbers"})
    record = jobs.fetch(job_id)
    assert record.error is not None
    assert (record.state, record.error.code) == (JobState.FAILED, "numerical_failure")


def test_a_failed_job_without_a_word_lost_its_worker(jobs: JobQueue, redis: Redis) -> None:
    job_id = jobs.submit(SPEC).id
    fail(redis, job_id, None)
    assert "secret" not in jobs.fetch(job_id).model_dump_json()


def test_attempts_count_the_runs(jobs: JobQueue, redis: Redis) -> None:
    job = start(redis, jobs.submit(SPEC).id)
    with redis.pipeline() as pipe:
        job.retry(Queue(queue_name(), connection=redis, serializer=JSONSerializer), pipe)
        pipe.execute()
    assert jobs.fetch(job.id).attempts == 1
    start(redis, job.id)
    assert jobs.fetch(job.id).attempts == 2


def test_a_queued_job_is_canceled_at_once(jobs: JobQueue) -> None:
    record = jobs.submit(SPEC)
    assert jobs.cancel(record.id).state is JobState.CANCELED
    assert jobs.depth() == 0


def test_a_canceled_job_expires_like_any_other(jobs: JobQueue, redis: Redis, settings: Settings) -> None:
    record = jobs.submit(SPEC)
    jobs.cancel(record.id)
    assert 0 < redis.ttl(f"rq:job:{record.id}") <= settings.result_ttl_seconds


def test_cancel_twice_is_one_cancel(jobs: JobQueue) -> None:
    record = jobs.submit(SPEC)
    assert jobs.cancel(record.id) == jobs.cancel(record.id)


def test_canceling_a_running_job_asks_its_worker(jobs: JobQueue, redis: Redis) -> None:
    job = start(redis, jobs.submit(SPEC).id)
    assert jobs.cancel(job.id).state is JobState.RUNNING
    assert redis.hget(job.key, CANCEL_FIELD) == b"1"


def test_the_wish_to_cancel_outlives_the_workers_progress(jobs: JobQueue, redis: Redis) -> None:
    job = start(redis, jobs.submit(SPEC).id)
    jobs.cancel(job.id)
    job.meta["progress"] = {"stage": "prior", "step": 1, "steps": 10, "fraction": 0.1}
    job.save_meta()
    job.save()
    assert redis.hget(job.key, CANCEL_FIELD) == b"1"


def test_a_claim_under_watch_sees_a_cancel(jobs: JobQueue, redis: Redis) -> None:
    """The worker watches the job's key, reads its status, and claims; a cancel in between must undo the claim."""
    record = jobs.submit(SPEC)
    with redis.pipeline() as pipe:
        pipe.watch(f"rq:job:{record.id}")
        jobs.cancel(record.id)
        pipe.multi()
        pipe.hset(f"rq:job:{record.id}", "status", "started")
        with pytest.raises(Exception, match="Watched variable changed"):
            pipe.execute()


@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_an_ended_job_cannot_be_canceled(jobs: JobQueue, redis: Redis, end: str) -> None:
    job_id = jobs.submit(SPEC).id
    if end == "succeeded":
        succeed(redis, job_id, {"images": [], "native_size": 64})
    else:
        fail(redis, job_id, None)
    with pytest.raises(JobNotCancelable, match=f"already {end}"):
        jobs.cancel(job_id)


@pytest.mark.parametrize("read", [JobQueue.fetch, JobQueue.cancel, JobQueue.delete])
@pytest.mark.parametrize("job_id", ["0" * 32, "", "nonsense", "../etc", "a" * 10_000, "0" * 31 + "\n", "é" * 32])
def test_an_unknown_id_is_not_found(jobs: JobQueue, read: Callable[[JobQueue, str], object], job_id: str) -> None:
    with pytest.raises(JobNotFound):
        read(jobs, job_id)


@pytest.mark.parametrize("read", [JobQueue.fetch, JobQueue.cancel, JobQueue.delete])
def test_another_programs_job_is_not_found(jobs: JobQueue, redis: Redis, read: Callable[[JobQueue, str], object]) -> None:
    queue = Queue(queue_name(), connection=redis, serializer=JSONSerializer)
    queue.enqueue_call("os.system", args=("true",), job_id="f" * 32)
    with pytest.raises(JobNotFound):
        read(jobs, "f" * 32)


def test_canceling_an_expired_job_leaves_no_trace(jobs: JobQueue, redis: Redis) -> None:
    record = jobs.submit(SPEC)
    redis.delete(f"rq:job:{record.id}")
    with pytest.raises(JobNotFound):
        jobs.cancel(record.id)
    assert not redis.exists(f"rq:job:{record.id}")


CALLS: list[Callable[[JobQueue], object]] = [
    lambda jobs: jobs.submit(SPEC),
    lambda jobs: jobs.fetch("0" * 32),
    lambda jobs: jobs.cancel("0" * 32),
    lambda jobs: jobs.list(),
    lambda jobs: jobs.delete("0" * 32),
    lambda jobs: jobs.retry_after(),
    lambda jobs: jobs.depth(),
    lambda jobs: jobs.ping(),
]


@pytest.mark.parametrize("fault", ["closed_port", "silent_port"])
def test_an_outage_is_told_within_two_seconds(fault: str, request: pytest.FixtureRequest) -> None:
    settings, port = Settings(), request.getfixturevalue(fault)

    def seconds(call: Callable[[JobQueue], object]) -> float:
        jobs = JobQueue(connect(f"redis://127.0.0.1:{port}/0", settings), settings)
        started = time.monotonic()
        with pytest.raises(QueueDown):
            call(jobs)
        return time.monotonic() - started

    with ThreadPoolExecutor(len(CALLS)) as pool:
        assert max(pool.map(seconds, CALLS)) < 2


def test_a_wrong_password_is_an_outage(valkey: Valkey) -> None:
    settings = Settings()
    with pytest.raises(QueueDown):
        JobQueue(connect(f"redis://:wrong@127.0.0.1:{valkey.port}/0", settings), settings).ping()


def test_the_reply_to_an_outage_names_no_address(closed_port: int) -> None:
    settings = Settings()
    with pytest.raises(QueueDown) as caught:
        JobQueue(connect(f"redis://127.0.0.1:{closed_port}/0", settings), settings).ping()
    assert str(closed_port) not in str(caught.value.wire())


def test_a_full_redis_refuses_and_keeps_what_it_has(valkey: Valkey, jobs: JobQueue, redis: Redis) -> None:
    kept = jobs.submit(SPEC)
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(QueueDown):
            jobs.submit(SPEC)
    finally:
        redis.config_set("maxmemory", 0)
    assert jobs.fetch(kept.id).state is JobState.QUEUED
    assert jobs.depth() == 1


def test_the_queue_recovers_with_the_server(tmp_path: Path) -> None:
    """The same client serves again after a restart, on its first call."""
    server = Valkey(free_port(), "secret")
    jobs = JobQueue(server.client(), Settings())
    process = start_valkey(server, tmp_path)
    jobs.ping()
    stop(process)
    process = start_valkey(server, tmp_path)
    try:
        jobs.ping()
    finally:
        stop(process)


def test_the_queue_serves_once_a_missing_server_comes(tmp_path: Path) -> None:
    server = Valkey(free_port(), "secret")
    jobs = JobQueue(server.client(), Settings())
    with pytest.raises(QueueDown):
        jobs.submit(SPEC)
    process = start_valkey(server, tmp_path)
    try:
        assert jobs.submit(SPEC).queue_position == 1
    finally:
        stop(process)


@pytest.mark.parametrize(("field", "value"), [("status", "paused"), ("created_at", "yesterday"), ("status", b"\xff")])
def test_a_record_that_rq_never_wrote_is_not_found(jobs: JobQueue, redis: Redis, field: str, value: str | bytes) -> None:
    job = jobs.submit(SPEC)
    redis.hset(f"rq:job:{job.id}", field, value)
    for call in (jobs.fetch, jobs.cancel):
        with pytest.raises(JobNotFound):
            call(job.id)
