"""How a job's run ends, as writes of one transaction: RQ's own records of it, and an entry in the stream of ends.

RQ's `handle_job_success` and `handle_job_failure` write the same in transactions of their own, in which nothing can be asked
first: whether the job is still in the hands of the worker that speaks. Canary tests hold the two alike.
"""

from __future__ import annotations

from typing import Any

from redis.client import Pipeline
from rq import Queue
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry
from rq.utils import as_text, now

from contract.bell import BELL
from contract.ended import tell
from contract.record import JobFault, JobResult
from contract.rq_record import spec_in
from contract.states import JobState
from contract.work import work_of

ATTEMPT_FIELD = "unclip_attempt"
"""Field of a running job's hash: the execution whose worker alone may end it. Cleared when the job is queued again."""
OWNER_FIELDS = ["status", "worker_name", ATTEMPT_FIELD]
POISON = JobFault(code="poison", message="this job stopped every worker that tried it, and is not tried again")


def write_success(pipe: Pipeline, job: Job, result: JobResult, worker: str, execution: Execution) -> None:
    """Write that a job succeeded."""
    job.ended_at = now()
    job._result = result.model_dump(mode="json")
    # RQ gives the results' time to live to the record too.
    job._handle_success(job.result_ttl, pipeline=pipe, worker_name=worker, **_told_of(execution, job))
    job.cleanup(job.result_ttl, pipeline=pipe, remove_from_queue=False)
    spec = spec_in(job.kwargs.get("spec"))
    tell(pipe, job.id, JobState.SUCCEEDED, job.origin, work_of(spec) if spec else 0.0)


def write_failure(pipe: Pipeline, job: Job, fault: JobFault, worker: str, execution: Execution | None) -> None:
    """Write that a job failed, and why."""
    job.ended_at = now()
    job.meta["error"] = fault.model_dump(mode="json")
    pipe.hset(job.key, "meta", job.serializer.dumps(job.meta))
    job.set_status(JobStatus.FAILED, pipeline=pipe)
    exc_string = f"{fault.code}: {fault.message}"
    job._handle_failure(exc_string, pipeline=pipe, worker_name=worker, **_told_of(execution, job))
    tell(pipe, job.id, JobState.FAILED, job.origin)


def write_cancel(pipe: Pipeline, job: Job, retention_seconds: int) -> None:
    """Write that a job was canceled."""
    job.ended_at = now()
    job.set_status(JobStatus.CANCELED, pipeline=pipe)
    job.save(pipeline=pipe, include_meta=False)
    # RQ would keep a canceled job for ever.
    pipe.expire(job.key, retention_seconds)
    CanceledJobRegistry(job.origin, job.connection, serializer=job.serializer).add(job, ttl=retention_seconds, pipeline=pipe)
    tell(pipe, job.id, JobState.CANCELED, job.origin)


def write_requeue(pipe: Pipeline, job: Job, queue: Queue) -> None:
    """Put a job back at the head of its queue; whoever held it holds it no longer."""
    job.started_at = None
    pipe.sadd(queue.redis_queues_keys, queue.key)
    queue._enqueue_job(job, pipeline=pipe, at_front=True)
    pipe.hdel(job.key, ATTEMPT_FIELD)
    pipe.rpush(BELL, "1")


def belongs_to(pipe: Pipeline, job_key: str, execution: Execution) -> bool:
    """Return whether a job runs as this execution. On a watched pipe, it stays so until the transaction or undoes it."""
    return runs_as(execution, *pipe.hmget(job_key, OWNER_FIELDS))


def runs_as(execution: Execution, *owner: bytes | str | None) -> bool:
    """Return whether a job whose `OWNER_FIELDS` are these runs as this execution.

    The worker's name too: one of an earlier release writes its name, and leaves the attempt as it was.
    """
    held = [as_text(field or b"") for field in owner]
    return held == [JobStatus.STARTED, execution.worker_name, execution.id]


def _told_of(execution: Execution | None, job: Job) -> dict[str, Any]:
    if execution is None:
        return {}
    return {
        "execution_id": execution.id,
        "execution_started_at": execution.created_at,
        "execution_ended_at": job.ended_at,
    }
