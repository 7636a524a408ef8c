"""A drawing told as OpenAI's server-sent events: what the decoder expects to see, then each picture, or the error."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import structlog

from contract.errors import UnclipError
from contract.previews import Preview
from contract.record import JobRecord
from contract.states import JobState
from service.idempotency import Once
from service.images.service import ImagesService
from service.jobs.service import JobsService, succeeded
from service.jobs.watcher import Follower
from service.waiting import cancel

log = structlog.get_logger("service")

KEEP_ALIVE_SECONDS = 10.0
"""Proxies drop streams that are silent for long."""
PREVIEW_SIZE = "64x64"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass
class Stream:
    """One streamed reply. `kind`: how the events' types begin. `partial_images`: how often each picture is shown early."""

    kind: str
    partial_images: int
    cancels: bool
    jobs: JobsService
    images: ImagesService
    once: Once
    shown: dict[int, int] = field(default_factory=dict)

    async def events(self, job: JobRecord) -> AsyncIterator[str]:
        """Yield the events of a job to its end. When the caller hangs up the job is canceled if that was asked for."""
        try:
            async with self.jobs.watcher.follow(job) as follower:
                async for event in self._while_drawn(follower):
                    yield event
                async for event in self._pictures(succeeded(follower.record)):
                    yield event
            await self.once.answered()
        except UnclipError as error:
            # The reply has begun: its status can no longer say it.
            yield _event("error", {"type": "error", **error.wire()})
        except BaseException:
            if self.cancels:
                with anyio.CancelScope(shield=True):
                    await cancel(job, self.jobs)
            raise
        yield "data: [DONE]\n\n"

    async def _while_drawn(self, follower: Follower) -> AsyncIterator[str]:
        seen = 0
        yield ": queued\n\n"
        while not follower.record.state.is_terminal:
            changed = await follower.change(KEEP_ALIVE_SECONDS)
            if not changed:
                yield ": still there\n\n"
            if not self.partial_images or follower.record.state is not JobState.RUNNING:
                continue
            preview = await self.jobs.preview(follower.record.id, seen)
            if preview is not None:
                seen = preview.index
                if self._is_due(preview, follower.record):
                    yield self._partial(preview, follower.record)

    def _is_due(self, preview: Preview, job: JobRecord) -> bool:
        """True when a picture has come far enough for its next showing: they are spread over the drawing."""
        count = self.shown.get(preview.picture, 0)
        fraction = job.progress.fraction if job.progress else 0.0
        return count < self.partial_images and fraction >= count / (self.partial_images + 1)

    def _partial(self, preview: Preview, job: JobRecord) -> str:
        index = self.shown[preview.picture] = self.shown.get(preview.picture, 0) + 1
        about = {
            **_about(job, PREVIEW_SIZE, "png"),
            "b64_json": base64.b64encode(preview.png).decode("ascii"),
            "partial_image_index": index - 1,
            "image_index": preview.picture,
            "stage": preview.stage,
        }
        return _event(f"{self.kind}.partial_image", {"type": f"{self.kind}.partial_image", **about})

    async def _pictures(self, job: JobRecord) -> AsyncIterator[str]:
        for image in job.images:
            stored = await self.images.read(image.id)
            about = {
                **_about(job, f"{image.width}x{image.height}", job.spec.output_format),
                "b64_json": base64.b64encode(stored.bytes).decode("ascii"),
                "image_index": image.index,
                "seed": image.seed,
            }
            yield _event(f"{self.kind}.completed", {"type": f"{self.kind}.completed", **about})


def _about(job: JobRecord, size: str, output_format: str) -> dict[str, Any]:
    return {
        "created_at": int(job.created_at.timestamp()),
        "size": size,
        "quality": "standard",
        "background": "opaque",
        "output_format": output_format,
        "job_id": job.id,
    }


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
