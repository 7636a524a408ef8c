"""Sending deliveries: sign, post, and record what the receiver made of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from random import Random

import anyio
import anyio.to_thread
import structlog
from rq.job import Job

from contract.errors import UrlRefused, UrlUnreachable
from contract.outbound import Outbound
from contract.signing import POST_SECONDS, signed_headers
from contract.webhooks import WebhookBook
from workers.webhooks.queue import Delivery, DeliveryQueue
from workers.webhooks.schedule import delay_seconds, wish_of

MAX_AT_ONCE, MAX_AT_ONCE_PER_ENDPOINT = 16, 4
BUSY_SECONDS = 2.0
"""How long a delivery steps back whose endpoint has as many under way as it may."""
GONE = 410

log = structlog.get_logger(__name__)


class Sender:
    """Sends several deliveries at once, and few of them to one endpoint: who answers slowly holds up nobody else."""

    def __init__(
        self,
        queue: DeliveryQueue,
        book: WebhookBook,
        outbound: Outbound,
        chance: Random | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._book = book
        self._outbound = outbound
        self._chance = chance or Random()
        self._clock = clock
        self._under_way: Counter[str] = Counter()

    @property
    def has_room(self) -> bool:
        """True when another delivery may be claimed."""
        return self._under_way.total() < MAX_AT_ONCE

    def take(self) -> tuple[Job, Delivery] | None:
        """Claim the next delivery, None when none waits; one whose endpoint is busy steps back."""
        while (claimed := self._queue.claim()) is not None:
            job, delivery = claimed
            if self._under_way[delivery.endpoint.id] < MAX_AT_ONCE_PER_ENDPOINT:
                self._under_way[delivery.endpoint.id] += 1
                return claimed
            self._queue.try_later(job, BUSY_SECONDS, delivery.tries, "others are under way to this endpoint")
        return None

    async def send(self, job: Job, delivery: Delivery) -> None:
        """Send one delivery that `take` gave and record its outcome. Raises what Redis raises; the lease then runs out."""
        try:
            await self._send(job, delivery)
        finally:
            self._under_way[delivery.endpoint.id] -= 1
            self._under_way += Counter()  # drops what is at zero

    async def _send(self, job: Job, delivery: Delivery) -> None:
        endpoint = await anyio.to_thread.run_sync(self._book.current, delivery.endpoint)
        if endpoint is None or endpoint.disabled is not None:
            await anyio.to_thread.run_sync(self._queue.fail, job, "the endpoint was deleted or disabled")
            return
        tries = delivery.tries + 1
        about = {"type": delivery.type, "event_id": delivery.event_id, "endpoint": endpoint.id, "tries": tries}
        headers = signed_headers(endpoint, delivery.event_id, delivery.body, self._clock())
        wish = 0.0
        try:
            posted = await self._outbound.post_signed(endpoint.url, delivery.body.encode(), headers, POST_SECONDS)
        except (UrlRefused, UrlUnreachable) as error:
            reason = error.message
        else:
            if 200 <= posted.status < 300:
                await anyio.to_thread.run_sync(self._queue.succeed, job)
                log.info("a webhook was delivered", **about)
                return
            reason, wish = f"the receiver answered with status {posted.status}", wish_of(posted.headers.get("retry-after"))
            if posted.status == GONE:
                await anyio.to_thread.run_sync(self._book.disable, endpoint, "the receiver answered 410 Gone")
                await anyio.to_thread.run_sync(self._queue.fail, job, reason)
                log.warning("a webhook endpoint is gone; it is disabled", **about)
                return
        delay = delay_seconds(tries, self._chance, wish)
        if delay is None:
            await anyio.to_thread.run_sync(self._queue.fail, job, reason)
            log.warning("a webhook is given up", reason=reason, **about)
            return
        await anyio.to_thread.run_sync(self._queue.try_later, job, delay, tries, reason)
        log.info("a webhook is tried again later", reason=reason, seconds=round(delay), **about)
