"""How OpenAI's endpoints reply: wait for the job and tell of it, or stream it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response
from starlette.responses import StreamingResponse

from contract.spec import AnySpec
from service.drawing import DrawingWarning
from service.idempotency import Once
from service.images.service import ImagesService
from service.jobs.service import JobsService
from service.openai.fields import OpenAIRequest
from service.openai.service import answer
from service.openai.stream import HEADERS, Stream
from service.resources import Images, Jobs, Urls
from service.urls import PublicUrls
from service.waiting import draw_and_wait


@dataclass(frozen=True)
class Replier:
    """Queues a job and replies for it."""

    request: Request
    jobs: JobsService
    images: ImagesService
    urls: PublicUrls

    async def reply(
        self, spec: AnySpec, body: OpenAIRequest, once: Once, kind: str, notes: Sequence[DrawingWarning] = ()
    ) -> Response:
        """Return the pictures of `spec`, or their stream. kind: how the stream's events are called. notes: further warnings.

        Raises what `JobsService.submit` and `JobsService.wait` raise.
        """
        if body.stream:
            job = await self.jobs.submit(spec, await once.job_id())
            stream = Stream(kind, body.partial_images or 0, body.on_disconnect == "cancel", self.jobs, self.images, once)
            return StreamingResponse(stream.events(job), media_type="text/event-stream", headers=HEADERS)
        job = await draw_and_wait(spec, self.request, self.jobs, once, body.on_disconnect)
        told = await answer(job, body.wants_base64, self.images, self.urls, notes)
        return Response(told.model_dump_json(exclude_none=True), media_type="application/json")


async def _replier(request: Request, jobs: Jobs, images: Images, urls: Urls) -> Replier:
    return Replier(request, jobs, images, urls)


Replies = Annotated[Replier, Depends(_replier)]
