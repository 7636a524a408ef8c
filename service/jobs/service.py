"""Submitting, following and canceling jobs, off the event loop."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio
from starlette.requests import ClientDisconnect

from contract.errors import JobCanceled, JobFailed, QueueDown, WaitTimedOut
from contract.queue import JobQueue
from contract.record import JobRecord
from contract.spec import Spec
from contract.states import JobState
from service.images.service import ImagesService
from service.offload import Offload

FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.05, 0.25
OUTAGE_PATIENCE_SECONDS = 10.0
"""How long a wait outlasts a queue that does not answer: a restart of it is no reason to leave a job that is being drawn."""


class JobsService:
    """Jobs, for the routes that speak of them."""

    def __init__(self, queue: JobQueue, images: ImagesService, offload: Offload, wait_seconds: float) -> None:
        self.queue = queue
        self.images = images
        self.offload = offload
        self.wait_seconds = wait_seconds

    async def submit(self, spec: Spec) -> JobRecord:
        """Queue `spec`. Raises StoreDown, QueueDown or QueueFull, and then nothing is queued."""
        # A job whose pictures could not be kept would be drawn for nothing, and fail long after the caller has left.
        await self.images.ping()
        return await self.offload(QueueDown, self.queue.submit, spec)

    async def fetch(self, job_id: str) -> JobRecord:
        """Return the job as it stands. Raises JobNotFound or QueueDown."""
        return await self.offload(QueueDown, self.queue.fetch, job_id)

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a queued job, or ask the worker to drop a running one. Raises JobNotFound, JobNotCancelable or QueueDown."""
        return await self.offload(QueueDown, self.queue.cancel, job_id)

    async def wait(self, job_id: str, has_left: Callable[[], Awaitable[bool]]) -> JobRecord:
        """Return the job once it has succeeded. The job goes on whatever happens to this wait.

        has_left: tells whether the caller has hung up. Raises JobFailed, JobCanceled, WaitTimedOut, JobNotFound, QueueDown
        (after OUTAGE_PATIENCE_SECONDS), or ClientDisconnect when the caller has left.
        """
        began, pause_seconds = time.monotonic(), FIRST_POLL_SECONDS
        last_answer = began
        while True:
            try:
                job = await self.fetch(job_id)
                last_answer = time.monotonic()
                if job.state.is_terminal:
                    return _succeeded(job)
            except QueueDown:
                if time.monotonic() - last_answer >= OUTAGE_PATIENCE_SECONDS:
                    raise
            waited_seconds = time.monotonic() - began
            if waited_seconds >= self.wait_seconds:
                raise WaitTimedOut(job_id, waited_seconds)
            if await has_left():
                raise ClientDisconnect
            await anyio.sleep(min(pause_seconds, self.wait_seconds - waited_seconds))
            pause_seconds = min(pause_seconds * 1.5, LONGEST_POLL_SECONDS)


def _succeeded(job: JobRecord) -> JobRecord:
    if job.state is JobState.CANCELED:
        raise JobCanceled(job.id)
    if job.state is JobState.FAILED:
        raise JobFailed(job.id, job.error.message if job.error else "no reason was recorded")
    return job
