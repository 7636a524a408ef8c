"""Bringing back the jobs of dead workers. Any worker may run it at any time; several at once do no harm."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from redis import Redis
from redis.exceptions import RedisError, WatchError
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import clean_registries
from rq.utils import as_text
from rq.worker_registration import clean_worker_registry

LOCK_KEY = "unclip:recovery:{queue}"


class Recovery:
    """Looks for abandoned jobs in a worker's queues.

    `grace_seconds`: an id that stays this long in an intermediate list was taken by a worker that died before it started the
    job; a live one needs milliseconds.
    """

    def __init__(self, redis: Redis, grace_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._seen_since: dict[str, dict[str, float]] = {}
        self._log = structlog.get_logger(__name__)

    def run(self, queue: Queue) -> None:
        """One pass over a queue: requeue what dead workers held, expire old records."""
        self.requeue_taken(queue)
        # A short lock, only so that workers do not all do the same at once; RQ's own is held for a quarter of an hour by
        # whoever dies under it.
        if not self._redis.set(LOCK_KEY.format(queue=queue.name), 1, nx=True, px=max(1, int(self._grace_seconds * 500))):
            return
        try:
            # Executions whose heartbeat expired go back to the queue while they have retries, else they fail.
            clean_registries(queue)
        except RedisError:
            raise
        except Exception:
            # A record that nobody can read: it holds up recovery, but must not stop the drawing.
            self._log.exception("recovery failed", queue=queue.name)
        clean_worker_registry(queue)
        self._redis.zremrangebyscore(queue.canceled_job_registry.key, 0, time.time())

    def requeue_taken(self, queue: Queue) -> None:
        """Put ids that a dead worker left in the intermediate list back at the head of the queue. RQ would fail them."""
        now = self._clock()
        before = self._seen_since.get(queue.name, {})
        ids = [as_text(entry) for entry in self._redis.lrange(queue.intermediate_queue_key, 0, -1)]
        seen = self._seen_since[queue.name] = {job_id: before.get(job_id, now) for job_id in ids}
        for job_id, since in seen.items():
            if now - since >= self._grace_seconds:
                self._requeue(queue, job_id)

    def _requeue(self, queue: Queue, job_id: str) -> None:
        job_key = Job.key_for(job_id)
        with self._redis.pipeline() as pipe:
            try:
                pipe.watch(job_key, queue.intermediate_queue_key)  # type: ignore[no-untyped-call]
                status = pipe.hget(job_key, "status")
                pipe.multi()
                pipe.lrem(queue.intermediate_queue_key, 1, job_id)
                if status is not None and as_text(status) == JobStatus.QUEUED:
                    pipe.lpush(queue.key, job_id)
                    self._log.warning("a job taken by a lost worker goes back to its queue", job_id=job_id)
                pipe.execute()
            except WatchError:
                return  # somebody else moved; the next pass looks again
