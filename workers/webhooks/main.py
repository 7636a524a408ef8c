"""The webhook process: listens for what becomes of jobs, and tells those who want to know."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from types import FrameType

import anyio
import anyio.abc
import anyio.to_thread
import structlog
from redis.exceptions import RedisError
from rq.job import Job

from contract.errors import QueueDown
from contract.logs import configure_logging
from contract.outbound import Outbound
from contract.queue import JobQueue, connect
from contract.settings import Settings
from contract.webhooks import WebhookBook
from workers.untold import Untold
from workers.webhooks.listener import Listener
from workers.webhooks.queue import Delivery, DeliveryQueue
from workers.webhooks.sender import Sender

LISTEN_SECONDS = 0.5
LOOK_SECONDS = 0.2
DUE_SECONDS = 1.0
AWAY_SECONDS = 1.0
UNTOLD_LEASES = 2.0
"""How many leases of a worker an end may stay untold: a worker of this release that lives tells it within one and a quarter."""

log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; posts under way are finished first. Waits for a queue that does not answer yet."""
    configure_logging(settings.log_level, libraries="warning")
    process = WebhookProcess(settings)

    def stop(_number: int, _frame: FrameType | None) -> None:
        process.is_stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log.info("webhooks start")
    anyio.run(process.serve)
    log.info("webhooks stopped")


class WebhookProcess:
    """A listener and a sender side by side."""

    def __init__(self, settings: Settings) -> None:
        redis = connect(settings.queue_url, settings)
        book, self.queue = WebhookBook(redis), DeliveryQueue(redis)
        name = f"{socket.gethostname()}-{os.getpid()}"
        base_url = (settings.public_base_url or "").rstrip("/")
        self.listener = Listener(redis, JobQueue(redis, settings), book, self.queue, name, base_url)
        self.sender = Sender(self.queue, book, Outbound(settings.outbound_networks))
        lease_seconds = settings.worker_heartbeat_ttl_seconds
        self.untold, self.untold_seconds = Untold(redis, patience_seconds=UNTOLD_LEASES * lease_seconds), lease_seconds / 2
        self._untold_due_at = 0.0
        self.is_stopping = False

    async def serve(self) -> None:
        """Run until `is_stopping`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._repeat, self._listen)
            tasks.start_soon(self._repeat, self._move_due)
            tasks.start_soon(self._repeat, self._tell_untold)
            tasks.start_soon(self._repeat, self._dispatch, tasks)

    async def _repeat(self, turn: Callable[..., Awaitable[None]], *args: object) -> None:
        is_away = False
        while not self.is_stopping:
            try:
                await turn(*args)
                is_away = False
            except (RedisError, QueueDown) as error:
                if not is_away:
                    log.warning("the queue does not answer; waiting for it", reason=f"{type(error).__name__}: {error}")
                is_away = True
                await anyio.sleep(AWAY_SECONDS)

    async def _listen(self) -> None:
        await anyio.to_thread.run_sync(self.listener.read, LISTEN_SECONDS)

    async def _move_due(self) -> None:
        await anyio.to_thread.run_sync(self.queue.move_due)
        await anyio.sleep(DUE_SECONDS)

    async def _tell_untold(self) -> None:
        """Tell ends that no worker tells. Their pictures, if a dead worker left any, go when their time is up."""
        if time.monotonic() >= self._untold_due_at:
            await anyio.to_thread.run_sync(self.untold.tell)
            self._untold_due_at = time.monotonic() + self.untold_seconds
        await anyio.sleep(DUE_SECONDS)

    async def _dispatch(self, tasks: anyio.abc.TaskGroup) -> None:
        claimed = await anyio.to_thread.run_sync(self.sender.take) if self.sender.has_room else None
        if claimed is None:
            await anyio.sleep(LOOK_SECONDS)
            return
        tasks.start_soon(self._send, *claimed)

    async def _send(self, job: Job, delivery: Delivery) -> None:
        try:
            await self.sender.send(job, delivery)
        except (RedisError, QueueDown) as error:
            # Its lease runs out, and it is sent again: at least once.
            log.warning("the end of a delivery could not be recorded", reason=f"{type(error).__name__}: {error}")
        except Exception:
            log.exception("a delivery failed")
