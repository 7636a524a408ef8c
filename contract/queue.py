"""The job queue: RQ on Redis or Valkey, where RQ's own job is the one record of a job.

A job of ours carries the spec in its arguments, progress in its `meta`, and pictures in its result. `meta` is one JSON
blob and its worker writes it: the API's wish to cancel would overwrite that, or be overwritten, so it has a field of its own.
There is one RQ queue for each lane and API key, and beside RQ's keys one index of each API key's jobs.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from redis import Redis
from rq import Queue, Retry
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import as_text, now, utcformat

from contract import scripts
from contract.bell import BELL
from contract.connection import connect, outages
from contract.ended import jobs_per_second
from contract.errors import JobNotCancelable, JobNotEnded, JobNotFound, KeyQueueFull, QueueFull
from contract.lanes import LANES, QUEUES, lane_and_key, lane_prefix, list_key, name_of_list, queue_name
from contract.record import JobRecord
from contract.rq_record import MAX_RETRIES, record_of
from contract.scripts import CANCEL_FIELD
from contract.settings import Settings
from contract.spec import LOCAL_KEY, AnySpec, Lane, write_spec
from contract.states import JobState, state_from_rq
from contract.store import JOB_ID
from contract.trace import META, ORIGIN

__all__ = ["CANCEL_FIELD", "DRAW", "JobQueue", "connect", "index_key", "outages", "queue_name"]

DRAW = "workers.draw.draw"
"""The one function name that jobs carry. A string, so that whoever submits need not import the worker."""
LIST_CHUNK = 100
GONE_SECONDS = 30 * 24 * 3600
"""How long after its retention a job is still known to have been there."""
UNMEASURED_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 30, 600
RATE_BELIEVED_SECONDS = 2.0


class JobQueue:
    """Submits, reads, lists, cancels and deletes jobs. Every method raises QueueDown when Redis does not answer.

    `key`, where a method takes one, is the id of an API key: another key's job is then not found. None: any job.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._submit = redis.register_script(scripts.SUBMIT)
        self._cancel = redis.register_script(scripts.CANCEL)
        self._delete = redis.register_script(scripts.DELETE)
        self._position = redis.register_script(scripts.POSITION)
        self._waiting = redis.register_script(scripts.WAITING)
        self._rates: dict[str, tuple[float, float | None]] = {}

    def submit(self, spec: AnySpec, job_id: str | None = None) -> JobRecord:
        """Queue a job for `spec` and return its record.

        job_id: chosen by the caller, so that however often a submit is repeated there is one job; the record is then that of
        the first. Raises QueueFull when as many wait in its lane as the settings allow, KeyQueueFull when its API key has as
        many waiting; both know when to try again, from how quickly jobs end now.
        """
        queue = self._queue(queue_name(spec.lane, spec.key))
        job = self._new_job(queue, spec, job_id or uuid4().hex)
        lane_limit, key_limit = self._limits(spec.lane, spec.key)
        created_at = job.created_at.timestamp()
        forgotten = created_at - self._settings.result_ttl_seconds - GONE_SECONDS
        fields = job.to_dict()
        data = fields.pop("data")
        # As one argument: to send twenty of them costs more than to make them.
        texts = json.dumps(
            {name: as_text(value) if isinstance(value, bytes | str) else str(value) for name, value in fields.items()}
        )
        about = (job.id, created_at, lane_prefix(spec.lane), lane_limit, key_limit, forgotten)
        with outages():
            outcome, count = self._submit(
                keys=[job.key, queue.key, QUEUES, index_key(spec.key), BELL],
                args=[*about, texts, data, *_more_urgent(spec.lane)],
            )
        if outcome == 1:
            raise self._lane_is_full(spec.lane, count, lane_limit)
        if outcome == 2:
            raise self._queue_is_full(queue.name, count, key_limit)
        if outcome == 3:
            return self.fetch(job.id, spec.key)
        return record_of(job, None, count, spec)

    def check_room(self, lane: Lane, key: str) -> None:
        """Return if one more job of an API key may wait in a lane. Raises QueueFull or KeyQueueFull, as `submit` would.

        A promise of nothing, but cheap: it spares whoever asks the work that a refused job would have been.
        """
        lane_limit, key_limit = self._limits(lane, key)
        waiting, name = self.waiting([lane]), queue_name(lane, key)
        if (count := sum(waiting.values())) >= lane_limit:
            raise self._lane_is_full(lane, count, lane_limit)
        if (count := waiting.get(name, 0)) >= key_limit:
            raise self._queue_is_full(name, count, key_limit)

    def fetch(self, job_id: str, key: str | None = None) -> JobRecord:
        """Return the job as it stands now. Raises JobNotFound for an unknown, expired or foreign id."""
        job, record = self._read(job_id, key)
        if record.state is not JobState.QUEUED:
            return record
        return record.model_copy(update={"queue_position": self._positions([job])[job_id]})

    def has_expired(self, job_id: str, key: str) -> bool:
        """True for a job of this API key whose record is gone, unless it was deleted or that is long ago."""
        with outages():
            return self._redis.zscore(index_key(key), job_id) is not None

    def list(
        self,
        key: str = LOCAL_KEY,
        state: JobState | None = None,
        limit: int = 20,
        after: str | None = None,
        operation: str | None = None,
    ) -> tuple[JobRecord, ...]:
        """Return up to `limit` jobs of an API key, the newest first; only those in `state`, and of `operation`, if given.

        after: the id of a job; the list begins behind it. Raises JobNotFound when that is not the key's.
        """
        start = 0
        if after is not None:
            with outages():
                place = self._redis.zrevrank(index_key(key), after)
            if place is None:
                raise JobNotFound(after)
            start = cast("int", place) + 1
        found: deque[tuple[Job, JobRecord]] = deque()
        while len(found) < limit:
            with outages():
                entries = self._redis.zrevrange(index_key(key), start, start + LIST_CHUNK - 1)
                ids = [as_text(cast("bytes", entry)) for entry in entries]
            if not ids:
                break
            start += len(ids)
            found += [
                (job, record)
                for job, record in self._read_many(ids)
                if record.spec.key == key and state in (None, record.state) and operation in (None, record.operation)
            ]
        page = tuple(found)[:limit]
        positions = self._positions([job for job, record in page if record.state is JobState.QUEUED])
        return tuple(record.model_copy(update={"queue_position": positions.get(job.id)}) for job, record in page)

    def cancel(self, job_id: str, key: str | None = None) -> JobRecord:
        """Cancel a queued job at once, ask the worker of a running one to stop; a canceled job stays so.

        Raises JobNotFound, and JobNotCancelable when the job has succeeded or failed.
        """
        job, _ = self._read(job_id, key)
        queue = self._queue(job.origin)
        ended_at = datetime.now(UTC)
        keys = [job.key, queue.key, queue.intermediate_queue_key, CanceledJobRegistry(queue=queue).key]
        ttl_seconds, at = self._settings.result_ttl_seconds, int(ended_at.timestamp())
        with outages():
            self._cancel(keys=keys, args=[job.id, utcformat(ended_at), ttl_seconds, at, queue.name])
        record = self.fetch(job_id, key)
        if record.state in (JobState.SUCCEEDED, JobState.FAILED):
            raise JobNotCancelable(job_id, record.state)
        return record

    def delete(self, job_id: str, key: str | None = None) -> JobRecord:
        """Remove an ended job's record and its place in the list, and return what it was; its files are the caller's business.

        Raises JobNotFound, and JobNotEnded for a job that waits or runs.
        """
        job, record = self._read(job_id, key)
        queue = self._queue(job.origin)
        registries = [queue.finished_job_registry, queue.failed_job_registry, queue.canceled_job_registry]
        keys = [job.key, _results_key(job_id), index_key(record.spec.key), *(registry.key for registry in registries)]
        with outages():
            status = self._delete(keys=keys, args=[job_id])
        if status:
            raise JobNotEnded(job_id, state_from_rq(JobStatus(as_text(status))))
        return record

    def depth(self, lane: str | None = None) -> int:
        """Return how many jobs wait, in one lane or in all."""
        return sum(self.waiting([lane] if lane else LANES).values())

    def waiting(self, lanes: Sequence[str] = LANES) -> dict[str, int]:
        """Return how many jobs wait in each queue of these lanes that is not empty, by its name `lane:key`."""
        with outages():
            flat = self._waiting(keys=[QUEUES], args=[lane_prefix(lane) for lane in lanes])
        return {name_of_list(as_text(list_)): count for list_, count in zip(flat[::2], flat[1::2], strict=True)}

    def jobs_per_second(self, queue_prefix: str = "") -> float | None:
        """Return how many jobs of the queues that begin so ended lately in a second; None where none did."""
        with outages():
            return jobs_per_second(self._redis, queue_prefix)

    def retry_after(self, queue_prefix: str = "", jobs: int = 1) -> int:
        """Return in how many seconds `jobs` of those waiting will have left the queues that begin so, at the present rate.

        The rate is believed for RATE_BELIEVED_SECONDS: to measure it takes longer than all the rest of a refusal.
        """
        at, rate = self._rates.get(queue_prefix, (-math.inf, None))
        if (now_seconds := time.monotonic()) - at >= RATE_BELIEVED_SECONDS:
            rate = self.jobs_per_second(queue_prefix)
            self._rates[queue_prefix] = (now_seconds, rate)
        seconds = jobs / rate if rate else UNMEASURED_RETRY_SECONDS
        return max(1, min(LONGEST_RETRY_SECONDS, math.ceil(seconds)))

    def ping(self) -> None:
        """Return if Redis answers, raise QueueDown if not."""
        with outages():
            self._redis.ping()

    def _queue(self, name: str) -> Queue:
        return Queue(name, connection=self._redis, serializer=JSONSerializer)

    def _new_job(self, queue: Queue, spec: AnySpec, job_id: str) -> Job:
        """Return a job as RQ's own `enqueue` would write it."""
        job = queue.create_job(
            DRAW,
            kwargs={"spec": write_spec(spec)},
            job_id=job_id,
            # RQ would put the prompt here, and from here into its log.
            description=f"{spec.operation} {spec.pictures} x {spec.size}",
            timeout=self._settings.job_timeout_seconds,
            result_ttl=self._settings.result_ttl_seconds,
            failure_ttl=self._settings.result_ttl_seconds,
            retry=Retry(max=MAX_RETRIES),
            meta={META: origin.as_meta()} if (origin := ORIGIN.get()) else {},
        )
        job.origin = queue.name
        job.enqueued_at = now()
        return job

    def _limits(self, lane: Lane, key: str) -> tuple[int, int]:
        """Return how many may wait in a lane, and in an API key's queue there."""
        settings = self._settings
        lane_limit = settings.max_batch_depth if lane == "batch" else settings.max_queue_depth
        # Where there are no API keys there is nobody to be fair to.
        return lane_limit, lane_limit if key == LOCAL_KEY else min(lane_limit, settings.max_queue_depth_per_key)

    def _lane_is_full(self, lane: Lane, count: int, limit: int) -> QueueFull:
        return QueueFull(count, limit, self.retry_after(queue_name(lane, ""), count - limit + 1))

    def _queue_is_full(self, name: str, count: int, limit: int) -> KeyQueueFull:
        return KeyQueueFull(count, limit, self.retry_after(name, count - limit + 1))

    def _positions(self, jobs: Sequence[Job]) -> dict[str, int | None]:
        """Return each job's likely place in the order of beginnings, from 1 (next); None for one that has left its queue."""
        if not jobs:
            return {}
        with outages(), self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                lane, _ = lane_and_key(job.origin) or (LANES[0], "")
                prefixes = [lane_prefix(lane), *_more_urgent(lane)]
                self._position(keys=[list_key(job.origin), QUEUES], args=[job.id, *prefixes], client=pipe)
            return {job.id: place for job, place in zip(jobs, pipe.execute(), strict=True)}

    def _read(self, job_id: str, key: str | None) -> tuple[Job, JobRecord]:
        """Read a job of ours. Other functions' jobs in the same Redis are not for our callers. Raises JobNotFound."""
        found = self._read_many([job_id]) if JOB_ID.fullmatch(job_id) else []
        if not found or (key is not None and found[0][1].spec.key != key):
            raise JobNotFound(job_id)
        return found[0]

    def _read_many(self, ids: Sequence[str]) -> Sequence[tuple[Job, JobRecord]]:
        """Read those of the jobs that are there and ours, in one round trip, without their positions."""
        with outages(), self._redis.pipeline(transaction=True) as pipe:
            for job_id in ids:
                pipe.hgetall(f"{RQ_KEY_PREFIX}:job:{job_id}")
                pipe.xrevrange(_results_key(job_id), count=1)
            answers = pipe.execute()
        pairs = [self._restore(job_id, *answers[2 * i : 2 * i + 2]) for i, job_id in enumerate(ids)]
        return [pair for pair in pairs if pair is not None]

    def _restore(self, job_id: str, fields: Any, results: Any) -> tuple[Job, JobRecord] | None:
        job = Job(job_id, connection=self._redis, serializer=JSONSerializer)
        try:
            job.restore(fields)
            if job.func_name != DRAW:
                return None
            result = (
                Result.restore(job_id, results[0][0].decode(), results[0][1], self._redis, JSONSerializer) if results else None
            )
            return job, record_of(job, result, None)
        except (NoSuchJobError, DeserializationError, JobNotFound, ValueError):
            return None  # ValueError: a status or time that RQ never writes


def _more_urgent(lane: Lane) -> list[str]:
    """Return how the lists of the lanes begin that are drawn before this one."""
    return [lane_prefix(each) for each in LANES[: LANES.index(lane)]]


def _results_key(job_id: str) -> str:
    return f"{RQ_KEY_PREFIX}:results:{job_id}"


def index_key(key: str) -> str:
    """Return the Redis key of the index of an API key's jobs: ids, scored by when they were created."""
    return f"unclip:jobs:{key}"
