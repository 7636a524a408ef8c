"""Submitting, following and canceling jobs, off the event loop."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from starlette.requests import ClientDisconnect

from contract.errors import (
    ContentBlocked,
    InvalidParameter,
    JobCanceled,
    JobFailed,
    JobGone,
    JobNotEnded,
    JobNotFound,
    QueueDown,
    WaitTimedOut,
    shortened,
)
from contract.estimates import Estimate, Pace
from contract.previews import Preview
from contract.queue import JobQueue
from contract.record import JobRecord
from contract.spec import AnySpec, Lane
from contract.states import JobState
from contract.store import UPLOAD_ID
from contract.watch import JobWatch
from service.blocked import refusal_of
from service.images.service import ImagesService
from service.jobs.watcher import Watcher
from service.offload import Offload

LEFT_SECONDS = 0.25
"""How often a wait looks whether its caller has hung up."""


PACE_SECONDS = 2.0
"""How old the measured pace of jobs may be."""


@dataclass(frozen=True)
class Wanted:
    """One page of a list of jobs. `after`: the id of the last job of the page before."""

    limit: int
    after: str | None = None
    status: JobState | None = None
    operation: str | None = None


class JobsService:
    """Jobs, for the routes that speak of them. `key`: the caller's; another key's job is as good as none."""

    def __init__(self, queue: JobQueue, watch: JobWatch, images: ImagesService, offload: Offload, wait_seconds: float) -> None:
        self.queue = queue
        self.watch = watch
        self.images = images
        self.offload = offload
        self.wait_seconds = wait_seconds
        self.watcher = Watcher(queue, watch, offload)
        self._pace, self._paced_at = Pace(), -math.inf

    async def submit(self, spec: AnySpec, job_id: str | None = None) -> JobRecord:
        """Queue `spec`, unless there is a job of this id. Raises StoreDown, QueueDown or QueueFull: nothing is queued."""
        # A job whose pictures could not be kept would be drawn for nothing, and fail long after the caller has left.
        await self.images.be_there()
        return await self.enqueue(spec, job_id)

    def room(self, lane: Lane, key: str) -> Callable[[], Awaitable[None]]:
        """Return what raises QueueFull, KeyQueueFull or QueueDown, once it is called, where a job may not wait in a lane."""
        return partial(self.offload, QueueDown, self.queue.check_room, lane, key)

    async def enqueue(self, spec: AnySpec, job_id: str | None = None) -> JobRecord:
        """Queue `spec` as `submit` does, without a look at the store: for many at once, after one look."""
        return await self.offload(QueueDown, self.queue.submit, spec, job_id)

    async def fetch(self, job_id: str, key: str) -> JobRecord:
        """Return the job as it stands. Raises JobNotFound, JobGone for one that was kept for its time, or QueueDown."""
        try:
            return await self.offload(QueueDown, self.queue.fetch, job_id, key)
        except JobNotFound:
            if await self.offload(QueueDown, self.queue.has_expired, job_id, key):
                raise JobGone(job_id) from None
            raise

    async def page(self, wanted: Wanted, key: str) -> tuple[Sequence[JobRecord], bool]:
        """Return the jobs of one page of a list, the newest first, and whether more follow.

        Raises InvalidParameter for a page that begins behind no job of the caller's, or QueueDown.
        """
        try:
            jobs = await self.offload(
                QueueDown, self.queue.list, key, wanted.status, wanted.limit + 1, wanted.after, wanted.operation
            )
        except JobNotFound:
            raise InvalidParameter("after", f"after names no job: {shortened(wanted.after)!r}") from None
        return jobs[: wanted.limit], len(jobs) > wanted.limit

    async def delete(self, job_id: str, key: str) -> None:
        """Remove a job that has ended, or waits, and with it its pictures, its latents and what it was drawn from.

        Raises JobNotFound, JobGone, JobNotEnded for one that runs, StoreDown or QueueDown.
        """
        job = await self.fetch(job_id, key)
        if job.state is JobState.QUEUED:
            job = await self.cancel(job_id, key)
        if not job.state.is_terminal:
            raise JobNotEnded(job_id, job.state)
        # The record last: while it is there, a caller who met an outage can ask again.
        await self.images.delete_job(job_id)
        for upload in inputs_of(job):
            await self.images.delete(upload)
        await self.offload(QueueDown, self.queue.delete, job_id, key)

    async def estimate(self, job: JobRecord) -> Estimate | None:
        """Return when a job will have ended, None when that cannot be told."""
        if job.state.is_terminal:
            return None
        now = time.monotonic()
        if now - self._paced_at >= PACE_SECONDS:
            self._paced_at = now
            with suppress(QueueDown):  # an estimate is worth no outage
                self._pace = await self.offload(QueueDown, self.watch.pace)
        return self._pace.estimate(job, time.time())

    async def cancel(self, job_id: str, key: str) -> JobRecord:
        """Cancel a queued job, or ask the worker to drop a running one. Raises JobNotCancelable and what `fetch` raises."""
        await self.fetch(job_id, key)
        return await self.offload(QueueDown, self.queue.cancel, job_id, key)

    async def preview(self, job_id: str, after: int = 0) -> Preview | None:
        """Return the newest preview of a job, None when there is none with an index above `after`. Raises QueueDown."""
        return await self.offload(QueueDown, self.watch.preview, job_id, after)

    async def wait(self, job: JobRecord, has_left: Callable[[], Awaitable[bool]]) -> JobRecord:
        """Return the job once it has succeeded. The job goes on whatever happens to this wait.

        has_left: tells whether the caller has hung up. Raises JobFailed, JobCanceled, WaitTimedOut, JobNotFound, QueueDown
        (after a long outage), or ClientDisconnect when the caller has left.
        """
        now = await self.until(job, lambda seen: seen.state.is_terminal, self.wait_seconds, has_left, is_keen=False)
        if not now.state.is_terminal:
            raise WaitTimedOut(job.id, self.wait_seconds)
        return succeeded(now)

    async def until(
        self,
        job: JobRecord,
        is_met: Callable[[JobRecord], bool],
        wait_seconds: float,
        has_left: Callable[[], Awaitable[bool]],
        *,
        is_keen: bool = True,
    ) -> JobRecord:
        """Return the job once `is_met` holds for it, or as it is after `wait_seconds`.

        is_keen: False where `is_met` asks for the job's state alone, which costs far fewer looks. Raises JobNotFound when it is
        gone, QueueDown after a long outage, ClientDisconnect when the caller has left.
        """
        if is_met(job) or wait_seconds <= 0:
            return job
        deadline = time.monotonic() + wait_seconds
        async with self.watcher.follow(job, is_keen=is_keen) as follower:
            while not is_met(follower.record):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                if not await follower.change(min(remaining, LEFT_SECONDS)) and await has_left():
                    raise ClientDisconnect
            last = follower.record
        return last if is_keen or is_met(last) else await self.fetch(job.id, job.spec.key)


def inputs_of(job: JobRecord) -> Sequence[str]:
    """Return the ids of the pictures that the caller brought for this job."""
    spec = job.spec
    things = [getattr(spec, "source", None), getattr(spec, "mask", None), *getattr(spec, "sources", ())]
    return [thing.id for thing in things if UPLOAD_ID.fullmatch(getattr(thing, "id", ""))]


def succeeded(job: JobRecord) -> JobRecord:
    """Return an ended job if it has succeeded. Raises JobFailed, JobCanceled or ContentBlocked."""
    if job.state is JobState.CANCELED:
        raise JobCanceled(job.id)
    if job.state is JobState.FAILED:
        if job.error and job.error.code == ContentBlocked.code:
            raise refusal_of(job.error.blocked)
        raise JobFailed(job.id, job.error.message if job.error else "no reason was recorded")
    return job
