"""Bringing back the jobs of dead workers. Any worker may run it at any time; several at once do no harm."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog
from redis import Redis
from redis.exceptions import RedisError, WatchError
from rq import Queue
from rq.executions import ExecutionRegistry
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import as_text, parse_composite_key
from rq.worker_registration import clean_worker_registry

from contract.bell import BELL
from contract.lanes import QUEUES
from contract.scripts import CANCEL_FIELD
from workers.ends import POISON, write_cancel, write_failure, write_requeue
from workers.untold import Untold
from workers.watch import Watch

HOUSEKEEPING_KEY = "unclip:housekeeping"

# A queue that holds nothing and of which nothing is remembered leaves RQ's list; the next job brings it back.
# KEYS: RQ's set of queues, list, intermediate list, executions, then registries of ended jobs. ARGV: the server's time.
KEEP_HOUSE = """
for i = 5, #KEYS do redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ARGV[1]) end
for i = 2, #KEYS do if redis.call('EXISTS', KEYS[i]) == 1 then return 0 end end
return redis.call('SREM', KEYS[1], KEYS[2])
"""


class Recovery:
    """Looks for abandoned jobs in a worker's queues.

    `grace_seconds`: half of the time after which a silent worker is taken for dead. An id that stays this long in an
    intermediate list was taken by a worker that died before it started the job; a live one needs milliseconds.
    """

    def __init__(self, redis: Redis, grace_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._grace_seconds = grace_seconds
        self._watch = Watch(grace_seconds, clock)
        self._untold = Untold(redis)
        self._clear = redis.register_script(KEEP_HOUSE)
        self._log = structlog.get_logger(__name__)

    def restart(self) -> None:
        """Begin to watch anew: after an outage, silence is nobody's fault."""
        self._watch.restart()

    def run(self, *queues: Queue) -> Sequence[str]:
        """One pass over the queues: requeue what dead workers held; now and then, let go of what has expired.

        Returns the jobs that have ended otherwise than well and of whose pictures nobody took care: their worker is dead.
        """
        ended: list[str] = []
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for queue in queues:
                pipe.lrange(queue.intermediate_queue_key, 0, -1)
                pipe.zrange(queue.started_job_registry.key, 0, -1, withscores=True)
            (seconds, microseconds), *answers = pipe.execute()
        server_now = seconds + microseconds / 1e6
        self._watch.begin_pass()
        for queue, taken, started in zip(queues, answers[::2], answers[1::2], strict=True):
            for job_id in self._watch.stuck(queue.name, [as_text(entry) for entry in taken]):
                self._untake(queue, job_id)
            leases = {as_text(entry): score for entry, score in started}
            for entry in self._watch.silent(queue.name, leases, server_now):
                if self._recover(queue, entry, [other for other in leases if other != entry]):
                    ended.append(parse_composite_key(entry)[0])
        # A short lock, only so that workers do not all do the same at once; RQ's own is held for a quarter of an hour by
        # whoever dies under it.
        if self._redis.set(HOUSEKEEPING_KEY, 1, nx=True, px=max(1, int(self._grace_seconds * 2000))):
            for queue in queues:
                self._keep_house(queue, server_now)
            ended += self._untold.tell()
        return ended

    def _untake(self, queue: Queue, job_id: str) -> None:
        """Put an id that a dead worker left in the intermediate list back at the head of its queue. RQ would fail the job."""
        job_key = Job.key_for(job_id)
        with self._redis.pipeline() as pipe:
            try:
                pipe.watch(job_key, queue.intermediate_queue_key)  # type: ignore[no-untyped-call]
                status = pipe.hget(job_key, "status")
                pipe.multi()
                pipe.lrem(queue.intermediate_queue_key, 1, job_id)
                if status is not None and as_text(status) == JobStatus.QUEUED:
                    pipe.lpush(queue.key, job_id)
                    pipe.sadd(QUEUES, queue.key)
                    pipe.rpush(BELL, "1")
                    self._log.warning("a job taken by a lost worker goes back to its queue", job_id=job_id)
                pipe.execute()
            except WatchError:
                return  # somebody else moved; the next pass looks again

    def _recover(self, queue: Queue, entry: str, others: Sequence[str]) -> bool:
        """Decide what becomes of the job of a silent execution: queued again, canceled as was asked, or failed as poison.

        Returns whether it has ended.
        """
        has_ended = False
        job_id, execution_id = parse_composite_key(entry)
        with self._redis.pipeline() as pipe:
            try:
                # Whoever claims the job, ends it or hands it back writes to its record, and undoes this.
                pipe.watch(Job.key_for(job_id))  # type: ignore[no-untyped-call]
                job = self._job(job_id)
                wants_cancel = pipe.hget(Job.key_for(job_id), CANCEL_FIELD)
                pipe.multi()
                pipe.zrem(queue.started_job_registry.key, entry)
                pipe.delete(f"rq:execution:{entry}")
                pipe.zrem(ExecutionRegistry(job_id, self._redis).key, execution_id)
                is_alone = not any(other.startswith(f"{job_id}:") for other in others)
                if job is not None and is_alone and job.get_status(refresh=False) == JobStatus.STARTED:
                    has_ended = bool(wants_cancel) or not job.retries_left
                    if wants_cancel:
                        write_cancel(pipe, job, job.result_ttl or 1)
                    elif not job.retries_left:
                        self._log.error("a job stopped all workers that tried it; it is not tried again", job_id=job_id)
                        write_failure(pipe, job, POISON, job.worker_name or "", None)
                    else:
                        self._log.warning("a lost worker's job goes back to its queue", job_id=job_id)
                        job.retries_left -= 1
                        write_requeue(pipe, job, queue)
                pipe.execute()
            except WatchError:
                return False
        return has_ended

    def _job(self, job_id: str) -> Job | None:
        try:
            return Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except RedisError:
            raise
        except Exception:
            # Expired, or a record that nobody can read: it must not hold up the recovery of the others.
            return None

    def _keep_house(self, queue: Queue, server_now: float) -> None:
        """Let go of what has expired in RQ's registries, of dead workers' names, and of a queue that is not used."""
        clean_worker_registry(queue)
        keys = [
            *(QUEUES, queue.key, queue.intermediate_queue_key, queue.started_job_registry.key),
            *(queue.finished_job_registry.key, queue.failed_job_registry.key, queue.canceled_job_registry.key),
        ]
        self._clear(keys=keys, args=[server_now])
