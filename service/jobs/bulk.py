"""Many jobs in one request: JSON Lines, each line a job of its own, all of them in the batch lane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal
from uuid import UUID, uuid5

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, ValidationError

from contract.errors import (
    BodyTooLarge,
    BusyError,
    IdempotencyKeyReused,
    InvalidJson,
    InvalidParameter,
    OutageError,
    QueueDown,
    StoreDown,
    UnclipError,
    UnsupportedMediaType,
    UnsupportedParameter,
)
from service.callers import Caller
from service.drafts import Drafts
from service.errors import ErrorDetail, error_of_validation, errors
from service.idempotency import OnceOnly
from service.jobs.requests import JOB_REQUESTS, JobRequest
from service.jobs.service import JobsService
from service.resources import Drafting, Jobs

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MAX_LINES = 1000
MEDIA_TYPES = ("application/jsonl", "application/x-ndjson", "application/x-jsonlines")
BODY = {
    "required": True,
    "content": {
        MEDIA_TYPES[0]: {
            "schema": {"type": "string", "description": f"One job per line, at most {MAX_LINES}, each as for `POST /v1/jobs`."},
            "example": '{"operation": "generate", "prompt": "a red apple", "seed": 7}\n',
        }
    },
}


class BulkLine(BaseModel):
    """What became of one line: its job's `id`, or the `error` that refused it."""

    line: int = Field(description="Counted from 1; empty lines count and are passed over.", examples=[1])
    status: int = Field(description="As if the line had been sent to `POST /v1/jobs`.", examples=[202])
    id: str | None = Field(default=None, examples=["5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f"])
    error: ErrorDetail | None = Field(default=None, examples=[None])


class BulkReply(BaseModel):
    """What became of the lines, in their order."""

    object: Literal["bulk"] = "bulk"
    accepted: int = Field(examples=[2])
    refused: int = Field(examples=[0])
    data: list[BulkLine]


@router.post(
    "/bulk",
    status_code=202,
    response_model=BulkReply,
    openapi_extra={"requestBody": BODY},
    responses=errors(
        InvalidJson, InvalidParameter, BodyTooLarge, UnsupportedMediaType, IdempotencyKeyReused, QueueDown, StoreDown
    ),
)
async def submit_jobs(request: Request, caller: Caller, drafts: Drafting, jobs: Jobs, once: OnceOnly) -> Response:
    """Queue a job for each line of a JSON Lines file, in the batch lane: they are drawn when nobody waits for anything else.

    Lines are taken or refused one by one. When the queue is full the lines after are refused too; sent again under the same
    `Idempotency-Key`, the file goes on where it stopped.
    """
    if (replayed := await once.replay()) is not None:
        return replayed
    lines = list(numbered(request.headers.get("content-type", ""), await request.body()))
    await jobs.images.ping()
    base = await once.job_id()
    data = [line async for line in _submit(lines, caller.key_id, drafts, jobs, base)]
    accepted = sum(line.id is not None for line in data)
    body = BulkReply(accepted=accepted, refused=len(data) - accepted, data=data).model_dump_json()
    reply = Response(body, 202, media_type="application/json")
    if any(line.status >= 429 for line in data):
        return reply
    return await once.done(reply)


def numbered(content_type: str, body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not empty with their numbers. Raises UnsupportedMediaType, InvalidJson or InvalidParameter."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise UnsupportedMediaType(media_type or "none", MEDIA_TYPES[0])
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise InvalidJson("there is not one line in it")
    if len(lines) > MAX_LINES:
        raise InvalidParameter("body", f"a file may have {MAX_LINES} lines; this one has {len(lines)}")
    yield from lines


async def _submit(
    lines: list[tuple[int, bytes]], key: str, drafts: Drafts, jobs: JobsService, base: str | None
) -> AsyncIterator[BulkLine]:
    full: UnclipError | None = None
    for number, line in lines:
        try:
            if full is not None:
                raise full
            request = read_line(line)
            if request.webhook is not None:
                raise UnsupportedParameter("webhook", "a line brings no webhook of its own; use /v1/webhook_endpoints")
            spec = (await drafts.spec(request, key)).model_copy(update={"lane": "batch"})
            # A function of the request and the line, so that a repeated request makes the same jobs.
            job = await jobs.enqueue(spec, uuid5(UUID(base), str(number)).hex if base else None)
            yield BulkLine(line=number, status=202, id=job.id)
        except UnclipError as error:
            full = error if isinstance(error, BusyError | OutageError) else full
            yield BulkLine(line=number, status=error.status, error=ErrorDetail.model_validate(error.wire()["error"]))


def read_line(line: bytes) -> JobRequest:
    """Read one line. Raises a RequestError that names the field at fault."""
    try:
        return JOB_REQUESTS.validate_json(line)
    except ValidationError as error:
        faults = [{**fault, "loc": ("line", *fault["loc"])} for fault in error.errors(include_url=False)]
        if error.errors()[0]["type"] == "json_invalid":
            raise InvalidJson("it cannot be read") from None
        raise error_of_validation(faults) from None
