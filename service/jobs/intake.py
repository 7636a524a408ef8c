"""Taking a job in: the one way from a request for a job to the reply that it is queued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, Request, Response

from contract.record import JobRecord
from service.drafts import Drafts
from service.idempotency import KEY_DECLARED, KEY_HEADER, Once, once
from service.jobs.etags import etag_of
from service.jobs.requests import JobRequest
from service.jobs.schemas import JobResponse
from service.jobs.service import JobsService
from service.resources import json_only, resources_of, urls_of
from service.urls import PublicUrls
from service.webhooks.service import WebhooksService


@dataclass(frozen=True)
class Intake:
    """What it takes to queue a job of one caller, and to tell of it. `key`: the caller's API key."""

    drafts: Drafts
    jobs: JobsService
    webhooks: WebhooksService
    urls: PublicUrls
    key: str
    once: Once

    async def take(self, body: JobRequest) -> Response:
        """Queue one job, unless it was, and return the reply. Raises whatever refuses it."""
        key, once = self.key, self.once
        if (replayed := await once.replay()) is not None:
            return replayed
        is_room = once.if_first(self.jobs.room(body.lane or "interactive", key))
        spec, job_id = await self.drafts.spec(body, key, is_room=is_room), await once.job_id()
        if body.webhook is not None:
            job_id = job_id or uuid4().hex
            await self.webhooks.attach(job_id, key, body.webhook)
        job = await self.jobs.submit(spec, job_id)
        return await once.done(await accepted(job, self.jobs, self.urls))


async def accepted(job: JobRecord, jobs: JobsService, urls: PublicUrls) -> Response:
    """Return the reply to whoever queued a job."""
    headers = {"Location": urls.job(job.id), "ETag": etag_of(job, urls)}
    return Response((await seen_by(urls, jobs, job)).model_dump_json(), 202, headers, media_type="application/json")


async def seen_by(urls: PublicUrls, jobs: JobsService, job: JobRecord) -> JobResponse:
    """Return `job` as its caller sees it, with an estimate of its end."""
    return JobResponse.of(job, urls, await jobs.estimate(job))


async def _intake(request: Request) -> Intake:
    """All that a submit asks of a request, as one dependency. Raises UnsupportedMediaType, InvalidKey, InvalidParameter."""
    await json_only(request)
    seen_before = await once(request, request.headers.get(KEY_HEADER))
    here, urls = resources_of(request), await urls_of(request)
    return Intake(Drafts(here.admission, here.inputs, urls), here.jobs, here.webhooks, urls, seen_before.api_key, seen_before)


Taking = Annotated[Intake, Depends(_intake)]
TAKING_DECLARED = {"parameters": [KEY_DECLARED]}
"""What the description of a route with a `Taking` has beside what FastAPI knows."""
