"""Ends that nobody told of: RQ's own tools cancel, delete and empty queues without a word to the stream of ends.

Every job that was queued and whose end was not told yet stands in one hash; what ends a job takes it out in the step in which
it tells. One that is still in there and has ended, or is gone, was ended by somebody else: its end is told here.

Workers look for such ends, and remove what pictures a dead one left of them. The webhook sender looks too, more patiently:
while a service is upgraded, all its workers may be of a release that tells of nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import cast

import structlog
from redis import Redis
from rq.job import Job
from rq.registry import CanceledJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import as_text, now, utcformat

from contract.ended import ENDED, MAX_ENTRIES, OPEN, read_entries
from contract.states import JobState
from workers.watch import Watch

AT_ONCE = 500
AT_MOST = 2000
"""How many ends one pass tells: whoever empties a queue of ten thousand must not keep a worker from saying that it is alive."""
LATELY = 2000
"""Among how many of the newest entries an end is looked for that an earlier release told: it was so a few seconds ago."""
ENDS = (None, "canceled", "stopped", "failed", "finished")
"""RQ's statuses of a job that has ended; None: it was deleted."""

# Told once: the step that takes the job out of the hash is the one that tells. A worker of the release before may tell and
# leave the job in the hash; one of a release still older does not tell. RQ's tools keep what they cancel for ever, and its name
# in the registry for no time.
# KEYS: open jobs, stream, job, registry of canceled jobs.
# ARGV: job id, the time as RQ writes it, the same in seconds, how long to keep a job that does not say, then the ends of the
# job that were told already …
TELL = f"""
local queue = redis.call('HGET', KEYS[1], ARGV[1])
local status = redis.call('HGET', KEYS[3], 'status')
local states = {{canceled = 'canceled', stopped = 'canceled', failed = 'failed', finished = 'succeeded'}}
local state = status and states[status] or (not status and 'canceled')
if not queue or not state then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
for i = 5, #ARGV do
    if ARGV[i] == state or not status then return false end
end
if status then
    local ended_at = redis.call('HGET', KEYS[3], 'ended_at')
    if not ended_at or ended_at == '' then redis.call('HSET', KEYS[3], 'ended_at', ARGV[2]) end
    if redis.call('TTL', KEYS[3]) == -1 then
        local kept = tonumber(redis.call('HGET', KEYS[3], 'result_ttl') or '') or tonumber(ARGV[4])
        redis.call('EXPIRE', KEYS[3], kept)
        if state == 'canceled' then redis.call('ZADD', KEYS[4], ARGV[3] + kept, ARGV[1]) end
    end
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', {MAX_ENTRIES}, '*', 'job', ARGV[1], 'state', state, 'queue', queue)
return state
"""


class Untold:
    """Looks for ends that were not told. Any worker may do so at any time; raises RedisError."""

    def __init__(
        self,
        redis: Redis,
        kept_seconds: int = 24 * 3600,
        patience_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """kept_seconds: how long a canceled job is kept that does not say. patience_seconds: how long others may tell first."""
        self._redis = redis
        self._kept_seconds = kept_seconds
        self._watch = Watch(patience_seconds, clock)
        self._tell = redis.register_script(TELL)
        self._log = structlog.get_logger(__name__)

    def tell(self) -> Sequence[str]:
        """Tell each such end, once, whoever else is doing the same. Returns the jobs that did not succeed."""
        bad = []
        ended = list(islice(self._ended(), AT_MOST))
        self._watch.begin_pass()
        due = set(self._watch.stuck(OPEN, [job_id for job_id, _, _ in ended]))
        for job_id, queue, told in ended:
            if not told and job_id not in due:
                continue
            at = now()
            keys = [OPEN, ENDED, Job.key_for(job_id), CanceledJobRegistry(queue, self._redis, serializer=JSONSerializer).key]
            args: list[str | int] = [job_id, utcformat(at), int(at.timestamp()), self._kept_seconds, *told]
            state = self._tell(keys=keys, args=args)
            if state is not None:
                if as_text(state) != JobState.SUCCEEDED:
                    bad.append(job_id)
                self._log.warning("a job was ended without a word, by other tools or an old release", job_id=job_id)
        return bad

    def _ended(self) -> Iterator[tuple[str, str, Sequence[str]]]:
        """The open jobs that have ended, each with the name of its queue and the ends that were told of it lately."""
        cursor = -1
        while cursor != 0:
            cursor, found = self._redis.hscan(OPEN, max(0, cursor), count=AT_ONCE)
            names = [(as_text(job_id), as_text(queue)) for job_id, queue in cast("dict[bytes, bytes]", found).items()]
            with self._redis.pipeline(transaction=False) as pipe:
                for job_id, _ in names:
                    pipe.hget(Job.key_for(job_id), "status")
                answers = pipe.execute()
            ended = [
                name
                for name, status in zip(names, answers, strict=True)
                if (None if status is None else as_text(status)) in ENDS
            ]
            # Read after the statuses: whoever tells of an end writes both in one step.
            told = self._told() if ended else {}
            for job_id, queue in ended:
                yield job_id, queue, told.get(job_id, ())

    def _told(self) -> dict[str, list[str]]:
        """The ends among the newest entries, by job; not those before it last began, for RQ's tools may queue it again."""
        found: dict[str, list[str]] = {}
        begun: set[str] = set()
        newest = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._redis.xrevrange(ENDED, count=LATELY))
        for entry in read_entries(newest):
            if entry.state is JobState.RUNNING:
                begun.add(entry.job_id)
            elif entry.job_id not in begun:
                found.setdefault(entry.job_id, []).append(entry.state.value)
        return found
