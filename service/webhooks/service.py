"""Keeping webhook endpoints, off the event loop, and trying them out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from contract.errors import InvalidParameter, QueueDown
from contract.outbound import Outbound
from contract.signing import POST_SECONDS, signed_headers
from contract.webhooks import JOB_HOOK_MARGIN_SECONDS, Endpoint, EventType, WebhookBook
from service.offload import Offload
from service.webhooks.schemas import JobWebhook

Result = TypeVar("Result")


class WebhooksService:
    """Webhook endpoints, for the routes that speak of them. Raises QueueDown where Redis does not answer."""

    def __init__(self, book: WebhookBook, outbound: Outbound, offload: Offload, result_ttl_seconds: int) -> None:
        self.book = book
        self.outbound = outbound
        self.offload = offload
        self.job_ttl_seconds = result_ttl_seconds + JOB_HOOK_MARGIN_SECONDS

    async def create(self, key: str, url: str, event_types: Sequence[EventType], name: str) -> Endpoint:
        """Note a new endpoint. Raises UrlRefused for an address that is never called, InvalidParameter for one too many."""
        await self.outbound.check(url, param="url")
        return await self._ask(self.book.create, key, url, event_types, name)

    async def update(self, key: str, endpoint_id: str, changes: dict[str, Any]) -> Endpoint:
        """Change an endpoint. Raises WebhookNotFound or UrlRefused."""
        if "url" in changes:
            await self.outbound.check(changes["url"], param="url")
        return await self._ask(lambda: self.book.update(key, endpoint_id, **changes))

    async def page(self, key: str, limit: int, after: str | None) -> tuple[Sequence[Endpoint], bool]:
        """Return one page of the key's endpoints, and whether more follow. Raises InvalidParameter for a strange `after`."""
        endpoints = list(await self._ask(self.book.of_key, key))
        start = 0
        if after is not None:
            start = next((place for place, endpoint in enumerate(endpoints, 1) if endpoint.id == after), -1)
            if start < 0:
                raise InvalidParameter("after", "after names no webhook endpoint")
        return endpoints[start : start + limit], len(endpoints) > start + limit

    async def get(self, key: str, endpoint_id: str) -> Endpoint:
        """Return one endpoint. Raises WebhookNotFound."""
        return await self._ask(self.book.get, key, endpoint_id)

    async def rotate(self, key: str, endpoint_id: str, keep_old: bool) -> Endpoint:
        """Give an endpoint a new secret. Raises WebhookNotFound."""
        return await self._ask(self.book.rotate, key, endpoint_id, keep_old)

    async def delete(self, key: str, endpoint_id: str) -> None:
        """Forget an endpoint. Raises WebhookNotFound."""
        await self._ask(self.book.delete, key, endpoint_id)

    async def test(self, key: str, endpoint_id: str, event_type: EventType) -> int:
        """Post a sample event and return the status of the answer. Raises WebhookNotFound, UrlRefused or UrlUnreachable."""
        endpoint = await self.get(key, endpoint_id)
        event_id, now = f"evt_test_{uuid4().hex}", time.time()
        data = {"id": uuid4().hex, "object": "job", "status": event_type.partition(".")[2], "is_test": True}
        event = {"id": event_id, "object": "event", "type": event_type, "created_at": int(now), "data": data}
        body = json.dumps(event, separators=(",", ":"))
        headers = signed_headers(endpoint, event_id, body, now)
        return (await self.outbound.post_signed(endpoint.url, body.encode(), headers, POST_SECONDS)).status

    async def attach(self, job_id: str, key: str, webhook: JobWebhook) -> None:
        """Note the webhook of a job that is about to be queued. Raises UrlRefused for an address that is never called."""
        await self.outbound.check(webhook.url, param="webhook.url")
        now = int(time.time())
        endpoint = Endpoint(
            id=f"we_{job_id}",
            key=key,
            url=webhook.url,
            event_types=webhook.event_types,
            secret=webhook.secret,
            job_id=job_id,
            created_at=now,
            updated_at=now,
        )
        await self._ask(self.book.attach, job_id, endpoint, self.job_ttl_seconds)

    async def _ask(self, call: Callable[..., Result], *about: Any) -> Result:
        return await self.offload(QueueDown, call, *about)
