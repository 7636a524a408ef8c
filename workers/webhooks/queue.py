"""The queue of deliveries: RQ's records, so that `rq info` tells the truth of it, and a lease on each delivery in hand.

A delivery in hand stays in the queue's intermediate list until its end is recorded; one whose lease ran out was in the hands of
a process that died, and goes back to the queue's head. So each is tried at least once, whatever dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from pydantic import BaseModel, ConfigDict, ValidationError
from redis import Redis
from rq import Queue
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import as_text, now, utcformat

from contract.webhooks import Endpoint
from workers.webhooks.deliver import DELIVER

QUEUE = "webhooks"
LEASE_SECONDS = 60.0
LEASE_FIELD = "unclip_lease_until"
KEPT_SECONDS = 24 * 3600
"""How long an ended delivery can be looked up."""

# KEYS: what to take it from, list to put it into. ARGV: id, the new status, prefix of job keys, `zset` or `list`.
_MOVE = """
local taken
if ARGV[4] == 'zset' then taken = redis.call('ZREM', KEYS[1], ARGV[1]) else taken = redis.call('LREM', KEYS[1], 1, ARGV[1]) end
if taken == 1 and redis.call('EXISTS', ARGV[3] .. ARGV[1]) == 1 then
    redis.call('HSET', ARGV[3] .. ARGV[1], 'status', ARGV[2])
    redis.call('LPUSH', KEYS[2], ARGV[1])
end
return taken
"""


class Delivery(BaseModel):
    """One event for one endpoint. `tries`: how often it was sent."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_id: str
    type: str
    body: str
    endpoint: Endpoint
    tries: int = 0


class DeliveryQueue:
    """Every method talks to Redis and raises its errors."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self.queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
        self._move = redis.register_script(_MOVE)

    def add(self, delivery_id: str, delivery: Delivery) -> bool:
        """Queue a delivery. Returns False when there was one of this id already."""
        if self._redis.exists(Job.key_for(delivery_id)):
            return False
        job = self.queue.create_job(
            DELIVER,
            kwargs={"delivery": delivery.model_dump(mode="json")},
            job_id=delivery_id,
            # RQ would put the secret here, and from here into its log.
            description=f"{delivery.type} to {delivery.endpoint.id}",
            timeout=int(LEASE_SECONDS),
            result_ttl=KEPT_SECONDS,
            failure_ttl=KEPT_SECONDS,
        )
        with self._redis.pipeline(transaction=True) as pipe:
            self.queue.enqueue_job(job, pipeline=pipe)
            pipe.execute()
        return True

    def claim(self) -> tuple[Job, Delivery] | None:
        """Take the next delivery into hand, None when none waits. One that cannot be read is dropped."""
        while True:
            taken = self._redis.lmove(self.queue.key, self.queue.intermediate_queue_key)
            if taken is None:
                return None
            job_id = as_text(cast("bytes", taken))
            try:
                job = Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
                if job.func_name != DELIVER:
                    raise NoSuchJobError
                delivery = Delivery.model_validate(job.kwargs["delivery"])
            except (NoSuchJobError, DeserializationError, ValidationError, ValueError, KeyError, TypeError):
                self._redis.lrem(self.queue.intermediate_queue_key, 1, job_id)
                continue
            self._redis.hset(job.key, LEASE_FIELD, str(self._clock() + LEASE_SECONDS))
            self._redis.hset(job.key, mapping={"status": JobStatus.STARTED.value, "started_at": utcformat(now())})
            return job, delivery.model_copy(update={"tries": int(job.meta.get("tries", 0))})

    def succeed(self, job: Job) -> None:
        """Record that the receiver took it."""
        self._end(job, JobStatus.FINISHED, "")

    def fail(self, job: Job, reason: str) -> None:
        """Record that it is given up."""
        self._end(job, JobStatus.FAILED, reason)

    def try_later(self, job: Job, seconds: float, tries: int, reason: str) -> None:
        """Record a try that failed, and when the next is due."""
        job.meta |= {"tries": tries, "reason": reason}
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.lrem(self.queue.intermediate_queue_key, 1, job.id)
            pipe.hset(job.key, mapping={"status": JobStatus.SCHEDULED.value, "meta": job.serializer.dumps(job.meta)})
            self.queue.scheduled_job_registry.schedule(job, datetime.fromtimestamp(self._clock() + seconds, UTC), pipeline=pipe)
            pipe.execute()

    def move_due(self) -> int:
        """Queue what is due again, and what was in the hands of a process that died. Returns how many."""
        scheduled, moved = self.queue.scheduled_job_registry, 0
        for job_id in scheduled.get_jobs_to_schedule(int(self._clock())):
            moved += self._back(scheduled.key, job_id, "zset")
        in_hand = [as_text(entry) for entry in self._redis.lrange(self.queue.intermediate_queue_key, 0, -1)]
        for job_id in in_hand:
            lease = self._redis.hget(Job.key_for(job_id), LEASE_FIELD)
            if lease is None:
                # Taken this moment, or by a process that died at once: it has a lease to prove which.
                self._redis.hsetnx(Job.key_for(job_id), LEASE_FIELD, self._clock() + LEASE_SECONDS)
            elif float(cast("bytes", lease)) < self._clock():
                moved += self._back(self.queue.intermediate_queue_key, job_id, "list")
        return moved

    def _back(self, key: str, job_id: str, kind: str) -> int:
        args = [job_id, JobStatus.QUEUED.value, Job.key_for(""), kind]
        return int(self._move(keys=[key, self.queue.key], args=args))

    def _end(self, job: Job, status: JobStatus, reason: str) -> None:
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.lrem(self.queue.intermediate_queue_key, 1, job.id)
            pipe.hset(job.key, mapping={"status": status.value, "ended_at": utcformat(now())})
            pipe.expire(job.key, KEPT_SECONDS)
            if status is JobStatus.FINISHED:
                self.queue.finished_job_registry.add(job, KEPT_SECONDS, pipeline=pipe)
            else:
                self.queue.failed_job_registry.add(job, KEPT_SECONDS, exc_string=reason, pipeline=pipe)
            pipe.execute()
