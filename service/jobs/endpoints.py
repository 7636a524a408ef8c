"""`/v1/jobs`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import StreamingResponse

from contract.errors import (
    ContentBlocked,
    IdempotencyKeyReused,
    InvalidParameter,
    JobGone,
    JobNotCancelable,
    JobNotEnded,
    JobNotFound,
    QueueDown,
    QueueFull,
    StoreDown,
    UnknownModel,
)
from contract.record import JobRecord
from contract.states import JobState
from service.callers import Caller
from service.errors import DRAWING_REFUSALS, PICTURE_REFUSALS, errors
from service.idempotency import OnceOnly
from service.jobs import events
from service.jobs.etags import etag_of, is_among
from service.jobs.intake import TAKING_DECLARED, Taking, accepted, seen_by
from service.jobs.requests import JobRequest
from service.jobs.schemas import EVENTS_REPLY, UNCHANGED_REPLY, JobDeleted, JobList, JobResponse
from service.jobs.service import Wanted
from service.resources import Admitting, Jobs, Urls

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

LOCATION = {"Location": {"description": "The job's address.", "schema": {"type": "string"}}}
# nginx would hold the events back until a buffer is full.
EVENTS_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
READ_REFUSALS = errors(InvalidParameter, JobNotFound, JobGone, QueueDown)
RETRY_REFUSALS = (UnknownModel, ContentBlocked, QueueFull, QueueDown, StoreDown)
MAX_WAIT_SECONDS, MAX_PAGE = 60, 100
Wait = Annotated[
    float, Query(ge=0, le=MAX_WAIT_SECONDS, allow_inf_nan=False, description="Seconds to wait for something to tell.")
]


@router.post(
    "",
    status_code=202,
    response_model=JobResponse,
    responses={202: {"headers": LOCATION}, **errors(*DRAWING_REFUSALS, *PICTURE_REFUSALS, IdempotencyKeyReused)},
    openapi_extra=TAKING_DECLARED,
)
async def submit_job(body: JobRequest, intake: Taking) -> Response:
    """Queue one job. The reply comes at once; follow `Location` for its state."""
    return await intake.take(body)


@router.get("", responses=errors(InvalidParameter, QueueDown))
async def list_jobs(
    caller: Caller,
    jobs: Jobs,
    urls: Urls,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Jobs on a page.")] = 20,
    after: Annotated[str | None, Query(description="`last_id` of the page before.")] = None,
    status: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    operation: Annotated[str | None, Query(description="Only jobs of this operation.", max_length=32)] = None,
) -> JobList:
    """List the caller's jobs, the newest first."""
    found, has_more = await jobs.page(Wanted(limit, after, status, operation), caller.key_id)
    data = [await seen_by(urls, jobs, job) for job in found]
    ids = [job.id for job in found]
    return JobList(data=data, first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None, has_more=has_more)


@router.get(
    "/{job_id}",
    response_model=JobResponse,
    responses=UNCHANGED_REPLY | READ_REFUSALS,
)
async def read_job(
    job_id: str,
    request: Request,
    caller: Caller,
    jobs: Jobs,
    urls: Urls,
    wait: Wait = 0,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an earlier reply.")] = None,
) -> Response:
    """Tell how a job stands: state, progress by stage and step, place in the queue, pictures, error.

    With `wait` the reply is held back until the job has ended, or, with `If-None-Match`, until it is another than
    that; after so many seconds it comes as it is.
    """

    def is_news(job: JobRecord) -> bool:
        return job.state.is_terminal or (if_none_match is not None and not is_among(etag_of(job, urls), if_none_match))

    job = await jobs.fetch(job_id, caller.key_id)
    job = await jobs.until(job, is_news, wait, request.is_disconnected, is_keen=if_none_match is not None)
    headers = {"ETag": etag_of(job, urls), "Cache-Control": "private, no-cache"}
    if if_none_match is not None and is_among(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    return Response((await seen_by(urls, jobs, job)).model_dump_json(), media_type="application/json", headers=headers)


@router.delete("/{job_id}", responses=errors(JobNotFound, JobGone, JobNotEnded, QueueDown, StoreDown))
async def delete_job(job_id: str, caller: Caller, jobs: Jobs) -> JobDeleted:
    """Remove a job with its pictures, its latents and the pictures it was drawn from. One that waits is canceled first."""
    await jobs.delete(job_id, caller.key_id)
    return JobDeleted(id=job_id)


@router.get(
    "/{job_id}/events",
    response_class=Response,
    responses=EVENTS_REPLY | READ_REFUSALS,
)
async def follow_job(
    job_id: str,
    caller: Caller,
    jobs: Jobs,
    urls: Urls,
    previews: Annotated[bool, Query(description="Also send previews, where the job was asked to make them.")] = False,
    last_event_id: Annotated[str | None, Header(description="The last event that was seen.")] = None,
) -> Response:
    """Tell the job's life as server-sent events, up to its end.

    `job.queued`, `job.started`, `job.progress`, `job.preview`, and one of `job.succeeded`, `job.failed`, `job.canceled`: each
    but a preview has the whole job beside its `type`. Their ids only grow; who comes back with `Last-Event-ID` is told what it
    missed, and gets a 204 when that was the end. Comments come in between, so that no proxy takes the stream for dead.
    """
    job = await jobs.fetch(job_id, caller.key_id)
    last = events.last_event_id(last_event_id)
    if events.has_seen_the_end(last):
        return Response(status_code=204)

    async def seen(record: JobRecord) -> dict[str, Any]:
        return (await seen_by(urls, jobs, record)).model_dump(mode="json")

    async def told() -> AsyncIterator[str]:
        async with jobs.watcher.follow(job) as follower:
            async for event in events.stream(follower, events.Telling(seen, jobs.preview if previews else None), last):
                yield event

    return StreamingResponse(told(), media_type="text/event-stream", headers=EVENTS_HEADERS)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=JobResponse,
    responses={202: {"headers": LOCATION}, **errors(JobNotFound, JobGone, JobNotEnded, *RETRY_REFUSALS, IdempotencyKeyReused)},
)
async def retry_job(job_id: str, caller: Caller, admission: Admitting, jobs: Jobs, urls: Urls, once: OnceOnly) -> Response:
    """Queue an ended job once more, as a new job with `retried_from`. The same seed draws the same pictures."""
    if (replayed := await once.replay()) is not None:
        return replayed
    spec = await admission.admit_again(await jobs.fetch(job_id, caller.key_id))
    job = await jobs.submit(spec, await once.job_id())
    return await once.done(await accepted(job, jobs, urls))


@router.post("/{job_id}/cancel", responses=errors(JobNotFound, JobGone, JobNotCancelable, QueueDown))
async def cancel_job(job_id: str, caller: Caller, jobs: Jobs, urls: Urls) -> JobResponse:
    """Cancel a job: at once when it is queued, before its next step when it runs."""
    return await seen_by(urls, jobs, await jobs.cancel(job_id, caller.key_id))
