"""The queue as the API uses it: with a bound on the unfinished jobs of each key that has one, and a count of what it took."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import structlog
from redis import Redis

from contract.errors import JobNotFound
from contract.keys import KeyRing
from contract.queue import JobQueue
from contract.record import JobRecord
from contract.settings import Settings
from contract.slots import JobSlots
from contract.spec import LOCAL_KEY, AnySpec

log = structlog.get_logger("service")


class LimitedQueue(JobQueue):
    """A job queue that refuses a key more unfinished jobs than it may have.

    admitted: is told the operation and the lane of every job that was queued.
    """

    def __init__(self, redis: Redis, settings: Settings, admitted: Callable[[str, str], None]) -> None:
        super().__init__(redis, settings)
        self._admitted = admitted
        self._keys = KeyRing(redis)
        self._slots = JobSlots(redis)

    def submit(self, spec: AnySpec, job_id: str | None = None) -> JobRecord:
        """Queue a job for `spec` and return its record. Raises TooManyJobs beside what every queue raises."""
        if job_id is not None:
            # A repeated request: its job has its slot already.
            with suppress(JobNotFound):
                return self.fetch(job_id, spec.key)
        with self._slots.slot(spec.key, self._limit(spec.key)) as take:
            record = super().submit(spec, job_id)
            take(record.id)
        self._admitted(spec.operation, spec.lane)
        log.info("a job was queued", job_id=record.id, operation=spec.operation, lane=spec.lane, pictures=spec.pictures)
        return record

    def _limit(self, key_id: str) -> int | None:
        key = None if key_id == LOCAL_KEY else self._keys.get(key_id)
        return key.max_jobs if key else None
