"""Asking the parts whether they answer."""

from __future__ import annotations

from collections.abc import Awaitable

import anyio
import structlog

from contract.errors import OutageError, QueueDown
from contract.queue import JobQueue
from service.images.service import ImagesService
from service.offload import Offload

log = structlog.get_logger("service")


class HealthService:
    """Health of the parts that this service stands on."""

    def __init__(self, queue: JobQueue, images: ImagesService, offload: Offload) -> None:
        self.queue = queue
        self.images = images
        self.offload = offload

    async def outages(self) -> dict[str, OutageError | None]:
        """Return, for each part, what is wrong with it; None for one that answers. All parts are asked at once."""
        found: dict[str, OutageError | None] = {"queue": None, "store": None}

        async def ask(part: str, answer: Awaitable[None]) -> None:
            try:
                await answer
            except OutageError as outage:
                log.warning("not ready", part=part, reason=getattr(outage, "reason", ""))
                found[part] = outage

        async with anyio.create_task_group() as asking:
            asking.start_soon(ask, "queue", self.offload(QueueDown, self.queue.ping))
            asking.start_soon(ask, "store", self.images.ping())
        return found
