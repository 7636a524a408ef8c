"""Reading RQ's job as a record of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from rq.job import Job
from rq.results import Result

from contract.errors import JobNotFound
from contract.record import JobFault, JobRecord, JobResult, Progress
from contract.spec import AnySpec, read_spec
from contract.states import JobState, state_from_rq

Model = TypeVar("Model", bound=BaseModel)
MAX_RETRIES = 2
"""How often a job whose worker was lost is started again."""


def record_of(job: Job, result: Result | None, queue_position: int | None, spec: AnySpec | None = None) -> JobRecord:
    """Read RQ's job as ours. Raises JobNotFound where what it holds is not a job of ours, or half expired.

    spec: what the job was made of, where it was made just now: it need not be read again.
    """
    state = state_from_rq(job.get_status(refresh=False))
    spec = spec or spec_in(job.kwargs.get("spec"))
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
    """Why the job failed: what its worker wrote, else, where RQ's own tools gave it up, that all its workers were lost."""
    told = _parsed(JobFault, job.meta.get("error"))
    return told or JobFault(code="poison", message="the workers that drew this job stopped before it was done")


def spec_in(value: Any) -> AnySpec | None:
    """Return the spec that a JSON value says, None where it says none."""
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
