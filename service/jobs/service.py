"""Submitting, following and canceling jobs, off the event loop."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect

from contract.errors import ContentBlocked, JobCanceled, JobFailed, QueueDown, WaitTimedOut
from contract.previews import Preview
from contract.queue import JobQueue
from contract.record import JobRecord
from contract.spec import Spec
from contract.states import JobState
from contract.watch import JobWatch
from service.blocked import refusal_of
from service.images.service import ImagesService
from service.jobs.watcher import Watcher
from service.offload import Offload

LEFT_SECONDS = 0.25
"""How often a wait looks whether its caller has hung up."""


class JobsService:
    """Jobs, for the routes that speak of them. `key`: the caller's; another key's job is as good as none."""

    def __init__(self, queue: JobQueue, watch: JobWatch, images: ImagesService, offload: Offload, wait_seconds: float) -> None:
        self.queue = queue
        self.watch = watch
        self.images = images
        self.offload = offload
        self.wait_seconds = wait_seconds
        self.watcher = Watcher(queue, watch, offload)

    async def submit(self, spec: Spec, job_id: str | None = None) -> JobRecord:
        """Queue `spec`, unless there is a job of this id. Raises StoreDown, QueueDown or QueueFull: nothing is queued."""
        # A job whose pictures could not be kept would be drawn for nothing, and fail long after the caller has left.
        await self.images.ping()
        return await self.offload(QueueDown, self.queue.submit, spec, job_id)

    async def fetch(self, job_id: str, key: str) -> JobRecord:
        """Return the job as it stands. Raises JobNotFound or QueueDown."""
        return await self.offload(QueueDown, self.queue.fetch, job_id, key)

    async def cancel(self, job_id: str, key: str) -> JobRecord:
        """Cancel a queued job, or ask the worker to drop a running one. Raises JobNotFound, JobNotCancelable or QueueDown."""
        return await self.offload(QueueDown, self.queue.cancel, job_id, key)

    async def preview(self, job_id: str, after: int = 0) -> Preview | None:
        """Return the newest preview of a job, None when there is none with an index above `after`. Raises QueueDown."""
        return await self.offload(QueueDown, self.watch.preview, job_id, after)

    async def wait(self, job: JobRecord, has_left: Callable[[], Awaitable[bool]]) -> JobRecord:
        """Return the job once it has succeeded. The job goes on whatever happens to this wait.

        has_left: tells whether the caller has hung up. Raises JobFailed, JobCanceled, WaitTimedOut, JobNotFound, QueueDown
        (after a long outage), or ClientDisconnect when the caller has left.
        """
        now = await self.until(job, lambda seen: seen.state.is_terminal, self.wait_seconds, has_left)
        if not now.state.is_terminal:
            raise WaitTimedOut(job.id, self.wait_seconds)
        return _succeeded(now)

    async def until(
        self,
        job: JobRecord,
        is_met: Callable[[JobRecord], bool],
        wait_seconds: float,
        has_left: Callable[[], Awaitable[bool]],
    ) -> JobRecord:
        """Return the job once `is_met` holds for it, or as it is after `wait_seconds`.

        Raises JobNotFound when it is gone, QueueDown after a long outage, ClientDisconnect when the caller has left.
        """
        if is_met(job) or wait_seconds <= 0:
            return job
        deadline = time.monotonic() + wait_seconds
        async with self.watcher.follow(job) as follower:
            while not is_met(follower.record):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                if not await follower.change(min(remaining, LEFT_SECONDS)) and await has_left():
                    raise ClientDisconnect
            return follower.record


def _succeeded(job: JobRecord) -> JobRecord:
    if job.state is JobState.CANCELED:
        raise JobCanceled(job.id)
    if job.state is JobState.FAILED:
        if job.error and job.error.code == ContentBlocked.code:
            raise refusal_of(job.error.blocked)
        raise JobFailed(job.id, job.error.message if job.error else "no reason was recorded")
    return job
