"""From what became of jobs to deliveries: reads the stream of ends, and queues each event for everybody who wants it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import ResponseError

from contract.ended import ENDED, Entry, read_entries
from contract.errors import JobNotFound
from contract.lanes import lane_and_key
from contract.queue import JobQueue
from contract.record import JobRecord
from contract.spec import LOCAL_KEY
from contract.webhooks import TYPE_OF_STATE, Endpoint, WebhookBook
from workers.webhooks.queue import Delivery, DeliveryQueue

GROUP = "webhooks"
AT_ONCE = 50
ABANDONED_MILLISECONDS = 30_000
"""An entry that was read and not done for so long was in the hands of a process that died."""

log = structlog.get_logger(__name__)


class Listener:
    """One reader of the stream. Several share the work; an entry is done when its deliveries are queued, and not before."""

    def __init__(
        self, redis: Redis, jobs: JobQueue, book: WebhookBook, deliveries: DeliveryQueue, name: str, base_url: str
    ) -> None:
        self._redis = redis
        self._jobs = jobs
        self._book = book
        self._deliveries = deliveries
        self._name = name
        self._base_url = base_url

    def read(self, wait_seconds: float) -> int:
        """Queue the deliveries of what is new, waiting for it if there is nothing. Returns how many entries there were."""
        try:
            abandoned = self._redis.xautoclaim(ENDED, GROUP, self._name, ABANDONED_MILLISECONDS, count=AT_ONCE)
            fresh = self._redis.xreadgroup(
                GROUP, self._name, {ENDED: ">"}, count=AT_ONCE, block=max(1, int(wait_seconds * 1000))
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._join()
            return 0
        raw = [*cast("Any", abandoned)[1], *(entry for _, entries in cast("Any", fresh or []) for entry in entries)]
        for entry_id, fields in raw:
            for entry in read_entries([(entry_id, fields or {})]):
                self._tell(entry)
            self._redis.xack(ENDED, GROUP, entry_id)
        return len(raw)

    def _join(self) -> None:
        """Make the group of readers, from the stream's beginning: jobs may have ended before the first reader came."""
        try:
            self._redis.xgroup_create(ENDED, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _tell(self, entry: Entry) -> None:
        event_type = TYPE_OF_STATE.get(entry.state)
        _, key = lane_and_key(entry.queue) or ("", LOCAL_KEY)
        if event_type is None:
            return
        endpoints = self._book.wanting(key, entry.job_id, event_type)
        if not endpoints:
            return
        event_id = f"evt_{entry.job_id}_{entry.id}"
        body = event_body(event_id, event_type, entry, self._record(entry.job_id), self._base_url)
        for endpoint in endpoints:
            delivery = Delivery(event_id=event_id, type=event_type, body=body, endpoint=endpoint)
            if self._deliveries.add(_delivery_id(event_id, endpoint), delivery):
                log.info("a webhook is due", job_id=entry.job_id, type=event_type, endpoint=endpoint.id)

    def _record(self, job_id: str) -> JobRecord | None:
        try:
            return self._jobs.fetch(job_id)
        except JobNotFound:
            return None  # deleted, or expired: what happened is told all the same


def event_body(event_id: str, event_type: str, entry: Entry, job: JobRecord | None, base_url: str) -> str:
    """Return an event in OpenAI's shape, with the job in `data`: everything but its prompt."""
    data: dict[str, Any] = {"id": entry.job_id, "object": "job", "status": entry.state.value}
    if base_url:
        data["url"] = f"{base_url}/v1/jobs/{entry.job_id}"
    if job is not None:
        data |= {
            "operation": job.operation,
            "created_at": int(job.created_at.timestamp()),
            "attempts": job.attempts,
            "retried_from": job.spec.retried_from,
            "user": job.spec.user,
        }
    if job is not None and job.state is entry.state and entry.state.is_terminal:
        data |= {
            "finished_at": int(job.finished_at.timestamp()) if job.finished_at else None,
            "images": [image.model_dump(mode="json", exclude_defaults=True) for image in job.images],
            "blocked": len(job.blocked),
            "error": {"code": job.error.code, "message": job.error.message} if job.error else None,
        }
    event = {"id": event_id, "object": "event", "type": event_type, "created_at": int(entry.at_seconds), "data": data}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _delivery_id(event_id: str, endpoint: Endpoint) -> str:
    return f"whd-{hashlib.sha256(f'{event_id} {endpoint.id}'.encode()).hexdigest()[:32]}"
