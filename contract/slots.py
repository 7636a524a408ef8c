"""How many unfinished jobs a key has: counted where they are submitted, never given back by anybody.

A sorted set per key names its unfinished jobs, and places reserved for jobs that are just being submitted. Whoever asks for one
more takes out, in the same step, the jobs that have ended since, so no crash can leave a place taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from redis import Redis
from rq.defaults import RQ_KEY_PREFIX

from contract.connection import outages
from contract.errors import QueueDown, TooManyJobs

SLOTS = "unclip:slots:"
JOBS = f"{RQ_KEY_PREFIX}:job:"
RESERVED_SECONDS = 30.0
"""How long a submission may take: a place reserved by a process that died is free again after this."""

# KEYS: the set. ARGV: limit, new member, now, reserved until, prefix of job keys.
_RESERVE_SCRIPT = """
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if string.sub(member, 1, 1) == '?' then
        if tonumber(redis.call('ZSCORE', KEYS[1], member)) < tonumber(ARGV[3]) then
            redis.call('ZREM', KEYS[1], member)
        end
    else
        local status = redis.call('HGET', ARGV[5] .. member, 'status')
        if not status or status == 'finished' or status == 'failed' or status == 'canceled' or status == 'stopped' then
            redis.call('ZREM', KEYS[1], member)
        end
    end
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
    return 0
end
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[2])
return 1
"""


class JobSlots:
    """Places for the unfinished jobs of each key. Every method raises QueueDown when Redis does not answer."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self._reserve = redis.register_script(_RESERVE_SCRIPT)

    @contextmanager
    def slot(self, key_id: str, limit: int | None) -> Iterator[Callable[[str], None]]:
        """Reserve a place and yield what gives it to a job, by its id; without that the place is free again.

        limit: None for as many as the key likes. Raises TooManyJobs.
        """
        if limit is None:
            yield lambda _job_id: None
            return
        place = f"?{uuid4().hex}"
        now = self._clock()
        with outages():
            is_free = self._reserve(keys=[SLOTS + key_id], args=[limit, place, now, now + RESERVED_SECONDS, JOBS])
        if not is_free:
            raise TooManyJobs(limit)
        taken_by: list[str] = []
        try:
            yield taken_by.append
        finally:
            self._settle(key_id, place, taken_by)

    def _settle(self, key_id: str, place: str, taken_by: list[str]) -> None:
        try:
            with outages(), self._redis.pipeline(transaction=True) as pipe:
                for job_id in taken_by:
                    pipe.zadd(SLOTS + key_id, {job_id: self._clock()})
                pipe.zrem(SLOTS + key_id, place)
                pipe.execute()
        except QueueDown:
            # The job is queued, or its own error is on the way; the place runs out by itself.
            return
