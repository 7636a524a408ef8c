"""The job queue: RQ on Redis or Valkey, where RQ's own job is the one record of a job.

A job of ours carries the spec in its arguments, progress in its `meta`, and pictures in its result. `meta` is one JSON
blob and its worker writes it: the API's wish to cancel would overwrite that, or be overwritten, so it has a field of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from uuid import uuid4

from pydantic import BaseModel, ValidationError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry as ConnectionRetry
from rq import Queue, Retry
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.registry import CanceledJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import utcformat

from contract.errors import JobNotCancelable, JobNotFound, QueueDown, QueueFull
from contract.record import JobFault, JobRecord, JobResult, Progress
from contract.settings import Settings
from contract.spec import LOCAL_KEY, AnySpec, Spec, read_spec, write_spec
from contract.states import JobState, state_from_rq
from contract.store import JOB_ID

DRAW = "workers.draw.draw"
"""The one function name that jobs carry. A string, so that whoever submits need not import the worker."""
MAX_RETRIES = 2
"""How often a job whose worker was lost is started again."""
CANCEL_FIELD = "unclip_cancel_requested"
"""Field of a running job's hash that asks its worker to stop; RQ leaves fields it does not know alone."""
Model = TypeVar("Model", bound=BaseModel)

# One atomic step, so that a worker claiming the job (under WATCH of the same key) sees all of it or nothing.
# KEYS: job, queue, intermediate list, canceled registry. ARGV: job id, ended_at, retention in seconds, now.
_CANCEL_SCRIPT = f"""
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'started' then
    redis.call('HSET', KEYS[1], '{CANCEL_FIELD}', '1')
elseif status and status ~= 'finished' and status ~= 'failed' and status ~= 'stopped' and status ~= 'canceled' then
    redis.call('LREM', KEYS[2], 0, ARGV[1])
    redis.call('LREM', KEYS[3], 0, ARGV[1])
    redis.call('HSET', KEYS[1], 'status', 'canceled', 'ended_at', ARGV[2], 'started_at', '')
    redis.call('EXPIRE', KEYS[1], ARGV[3])
    redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[4])
    redis.call('ZADD', KEYS[4], ARGV[4] + ARGV[3], ARGV[1])
end
return status
"""


def queue_name(lane: str = "interactive", key: str = LOCAL_KEY) -> str:
    """Return the RQ queue of one lane and API key."""
    return f"{lane}:{key}"


def connect(url: str, settings: Settings) -> Redis:
    """Return a client of the Redis or Valkey at `url`; connects on first use.

    Waits are short and nothing is retried behind the caller's back, so that an outage is a typed error within two seconds.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=settings.queue_connect_timeout_seconds,
        socket_timeout=settings.queue_reply_timeout_seconds,
        retry=ConnectionRetry(NoBackoff(), 0),
        # RESP 3 would bring nothing here but a longer handshake (maintenance notifications, which Valkey does not know).
        protocol=2,
    )


@contextmanager
def outages() -> Iterator[None]:
    """Turn whatever means "Redis cannot serve this now" into QueueDown."""
    try:
        yield
    except (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError, NoPermissionError) as error:
        raise QueueDown(f"{type(error).__name__}: {error}") from error
    except ResponseError as error:
        # The disk under Redis is full or broken: it refuses writes until that is mended.
        if str(error).startswith("MISCONF"):
            raise QueueDown(str(error)) from error
        raise


class JobQueue:
    """Submits, reads and cancels jobs. Every method raises QueueDown when Redis does not answer."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._queue = Queue(queue_name(), connection=redis, serializer=JSONSerializer)
        self._cancel = redis.register_script(_CANCEL_SCRIPT)

    def submit(self, spec: Spec) -> JobRecord:
        """Queue a job for `spec` and return its record. Raises QueueFull when as many wait as the settings allow."""
        with outages():
            waiting = self.depth()
            if waiting >= self._settings.max_queue_depth:
                raise QueueFull(waiting, self._settings.max_queue_depth)
            job = self._queue.create_job(
                DRAW,
                kwargs={"spec": write_spec(spec)},
                job_id=uuid4().hex,
                # RQ would put the prompt here, and from here into its log.
                description=f"{spec.operation} {spec.pictures} x {spec.size}",
                timeout=self._settings.job_timeout_seconds,
                result_ttl=self._settings.result_ttl_seconds,
                failure_ttl=self._settings.result_ttl_seconds,
                retry=Retry(max=MAX_RETRIES),
            )
            with self._redis.pipeline(transaction=True) as pipe:
                self._queue.enqueue_job(job, pipeline=pipe)
                position = int(pipe.execute()[-1])
        return _record(job, None, position)

    def fetch(self, job_id: str) -> JobRecord:
        """Return the job as it stands now. Raises JobNotFound for an unknown, expired or foreign id."""
        job, result = self._job(job_id)
        queued = state_from_rq(job.get_status(refresh=False)) is JobState.QUEUED
        return _record(job, result, self.position(job_id) if queued else None)

    def position(self, job_id: str) -> int | None:
        """Return the job's place in its queue, from 1 (next); None once it has left."""
        with outages():
            index = self._redis.lpos(self._queue.key, job_id)
        return None if index is None else cast("int", index) + 1

    def cancel(self, job_id: str) -> JobRecord:
        """Cancel a queued job at once, ask the worker of a running one to stop; a canceled job stays so.

        Raises JobNotFound, and JobNotCancelable when the job has succeeded or failed.
        """
        job, _ = self._job(job_id)
        queue = Queue(job.origin, connection=self._redis, serializer=JSONSerializer)
        ended_at = datetime.now(UTC)
        keys = [job.key, queue.key, IntermediateQueue(queue.key, self._redis).key, CanceledJobRegistry(queue=queue).key]
        with outages():
            self._cancel(
                keys=keys,
                args=[job.id, utcformat(ended_at), self._settings.result_ttl_seconds, int(ended_at.timestamp())],
            )
        record = self.fetch(job_id)
        if record.state in (JobState.SUCCEEDED, JobState.FAILED):
            raise JobNotCancelable(job_id, record.state)
        return record

    def depth(self) -> int:
        """Return how many jobs wait."""
        with outages():
            return self._queue.count

    def ping(self) -> None:
        """Return if Redis answers, raise QueueDown if not."""
        with outages():
            self._redis.ping()

    def _job(self, job_id: str) -> tuple[Job, Result | None]:
        """Read a job of ours and its latest result. Other functions' jobs in the same Redis are not for our callers."""
        if not JOB_ID.fullmatch(job_id):
            raise JobNotFound(job_id)
        job = Job(job_id, connection=self._redis, serializer=JSONSerializer)
        with outages(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(job.key)
            pipe.xrevrange(f"{RQ_KEY_PREFIX}:results:{job_id}", count=1)
            fields, results = pipe.execute()
        try:
            job.restore(fields)
            if job.func_name != DRAW:
                raise JobNotFound(job_id)
        except (NoSuchJobError, DeserializationError, ValueError) as error:  # ValueError: a status or time that RQ never writes
            raise JobNotFound(job_id) from error
        result = Result.restore(job_id, results[0][0].decode(), results[0][1], self._redis, JSONSerializer) if results else None
        return job, result


def _record(job: Job, result: Result | None, queue_position: int | None) -> JobRecord:
    """Read RQ's job as ours. Raises JobNotFound where what it holds is not a job of ours, or half expired."""
    state = state_from_rq(job.get_status(refresh=False))
    spec = _spec(job.kwargs.get("spec"))
    done = _parsed(JobResult, result.return_value if result else None) if state is JobState.SUCCEEDED else None
    if spec is None or (state is JobState.SUCCEEDED and done is None):
        raise JobNotFound(job.id)
    has_run = job.started_at is not None and state is not JobState.QUEUED
    retries_used = MAX_RETRIES - (job.retries_left if job.retries_left is not None else MAX_RETRIES)
    return JobRecord(
        id=job.id,
        operation=spec.operation,
        state=state,
        created_at=_utc(job.created_at),
        started_at=_utc(job.started_at) if job.started_at and has_run else None,
        finished_at=_utc(job.ended_at) if job.ended_at and state.is_terminal else None,
        spec=spec,
        progress=_progress(job, state),
        queue_position=queue_position if state is JobState.QUEUED else None,
        images=done.images if done else (),
        blocked=done.blocked if done else (),
        attachments=done.attachments if done else {},
        source_prompt=done.source_prompt if done else None,
        native_size=done.native_size if done else None,
        truncated_tokens=done.truncated_tokens if done else job.meta.get("truncated_tokens"),
        timings=done.timings if done else {},
        error=_fault(job) if state is JobState.FAILED else None,
        attempts=retries_used + (1 if has_run else 0),
    )


def _progress(job: Job, state: JobState) -> Progress | None:
    """Progress as the worker last told it; a job that runs again has none until it does."""
    if state is JobState.SUCCEEDED:
        return Progress(stage="done", step=0, steps=0, fraction=1.0)
    return _parsed(Progress, job.meta.get("progress")) if state is JobState.RUNNING else None


def _fault(job: Job) -> JobFault:
    """Why the job failed: what its worker wrote, else that its workers were lost one after another."""
    told = _parsed(JobFault, job.meta.get("error"))
    return told or JobFault(code="worker_lost", message="the workers that drew this job stopped before it was done")


def _spec(value: Any) -> AnySpec | None:
    try:
        return read_spec(value)
    except ValidationError:
        return None


def _parsed(model: type[Model], value: Any) -> Model | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
