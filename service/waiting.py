"""Queueing a job and waiting for it in one request, as OpenAI's endpoints do."""

from __future__ import annotations

from typing import Literal

import structlog
from starlette.requests import ClientDisconnect, Request

from contract.errors import JobNotCancelable, JobNotFound
from contract.record import JobRecord
from contract.spec import AnySpec
from service.idempotency import Once
from service.jobs.service import JobsService

log = structlog.get_logger("service")

OnDisconnect = Literal["cancel", "detach"]


async def draw_and_wait(
    spec: AnySpec, request: Request, jobs: JobsService, once: Once, on_disconnect: OnDisconnect | None
) -> JobRecord:
    """Return the job of `spec` once it has succeeded; a repeated request waits for the job that it queued the first time.

    When the caller hangs up the job goes on, or is canceled if that is what it asked for. Raises what `JobsService.submit` and
    `JobsService.wait` raise.
    """
    submitted = await jobs.submit(spec, await once.job_id())
    try:
        job = await jobs.wait(submitted, request.is_disconnected)
    except ClientDisconnect:
        if on_disconnect == "cancel":
            await once.answered()
            await cancel(submitted, jobs)
        raise
    await once.answered()
    return job


async def cancel(job: JobRecord, jobs: JobsService) -> None:
    """Cancel a job whose caller has left, unless it has ended in the meantime."""
    try:
        await jobs.cancel(job.id, job.spec.key)
        log.info("a job is canceled: its caller has hung up", job_id=job.id)
    except (JobNotCancelable, JobNotFound):
        return
