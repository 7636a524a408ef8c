"""The engine's worker as RQ sees it: one process that holds many executions and never forks.

It keeps RQ's records (job, execution, registries, result) so that `rq info` and its like tell the truth, and departs from
RQ's own loop where that would lose jobs or notice a death late. Every method talks to Redis and raises its connection errors;
one thread owns a worker. What it leans on in RQ is pinned by canary tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, cast

import structlog
from pydantic import ValidationError
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, WatchError
from rq import Queue, worker_registration
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.suspension import is_suspended
from rq.utils import as_text
from rq.worker import BaseWorker, WorkerStatus

from contract.bell import BELL
from contract.ended import tell
from contract.lanes import LANES, QUEUES, lane_and_key, lane_prefix, name_of_list, queue_name
from contract.metrics import WorkerCounters, post_counters
from contract.previews import post_preview
from contract.queue import CANCEL_FIELD, DRAW
from contract.record import JobFault, JobResult, Progress
from contract.scripts import WAITING
from contract.spec import AnySpec, read_spec
from contract.states import JobState
from workers.ends import (
    ATTEMPT_FIELD,
    OWNER_FIELDS,
    belongs_to,
    runs_as,
    write_cancel,
    write_failure,
    write_requeue,
    write_success,
)
from workers.later import LaterRelease
from workers.turns import Turns

LEAVE_SECONDS = 0.5
"""How long a worker leaves the queue of a job to others that only a later release can read."""

# A job that has expired, or is another worker's by now, gets no progress from us. KEYS: job. ARGV: attempt, meta.
REPORT = f"""
if redis.call('HGET', KEYS[1], '{ATTEMPT_FIELD}') == ARGV[1] then redis.call('HSET', KEYS[1], 'meta', ARGV[2]) end
"""


@dataclass
class Holding:
    """A job in this worker's hands. `execution` is replaced when the job was taken from us and claimed again."""

    job: Job
    queue: Queue
    execution: Execution

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.job.id)


class Refused(Exception):
    """A claimed job that must not run; `fault` says why."""

    def __init__(self, fault: JobFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class EngineWorker(BaseWorker):
    """Claims, keeps alive, ends and hands back jobs."""

    def __init__(self, queues: Sequence[str], connection: Redis, ttl_seconds: int, retention_seconds: int) -> None:
        super().__init__(queues, connection=connection, serializer=JSONSerializer, worker_ttl=ttl_seconds)
        self.retention_seconds = retention_seconds
        self.turns = Turns()
        self._waiting = connection.register_script(WAITING)
        self._report = connection.register_script(REPORT)
        self._last_try = ""
        self._awaits_last_try = False
        self._later_release = LaterRelease()
        self._left_until: dict[str, float] = {}
        self._server_ahead_seconds: float | None = None
        self._log = structlog.get_logger(__name__)

    @property
    def connection_timeout(self) -> int:
        """Seconds below which RQ would lengthen the connection's socket timeout: never, ours are meant."""
        return 0

    def work(self, *_: object, **__: object) -> NoReturn:
        """Refuse RQ's own loop, which runs one job at a time. Raises NotImplementedError."""
        raise NotImplementedError("the engine has a loop of its own: workers.main.run")

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Seconds after which a silent execution is taken for dead: the same for every job."""
        return int(self.worker_ttl)

    def start(self) -> None:
        """Enter the list of workers."""
        self.register_birth()  # type: ignore[no-untyped-call]
        self.set_state(WorkerStatus.IDLE)

    @property
    def is_suspended(self) -> bool:
        """True while an operator holds all workers back with `rq suspend`."""
        return bool(is_suspended(self.connection))

    def stop(self) -> None:
        """Leave the list of workers."""
        self.register_death()  # type: ignore[no-untyped-call]

    def discover(self) -> None:
        """Look which queues there are now: one came with each API key's first job, and goes when it has been empty for long."""
        names = [name_of_list(as_text(key)) for key in self.connection.smembers(QUEUES)]
        found = {queue_name(), *(name for name in names if lane_and_key(name))}
        left = [queue for queue in self.queues if queue.name not in found]
        if left:
            with self.connection.pipeline(transaction=False) as pipe:
                for queue in left:
                    pipe.srem(worker_registration.WORKERS_BY_QUEUE_KEY % queue.name, self.key)
                pipe.execute()
        kept = {queue.name: queue for queue in self.queues}
        self.queues = [kept.get(name) or self._queue(name) for name in sorted(found)]

    def claim(self, wait_seconds: float = 0, takes: Callable[[str], bool] = lambda _: True) -> Holding | None:
        """Take the next job of whichever queue's turn it is, waiting up to `wait_seconds` where all are empty.

        takes: says of a queue, by its name, whether there is room for a job of it.

        The id enters the queue's intermediate list in the same step in which it leaves the queue, so a crash at any point
        leaves it in one place or the other. Ids that turn out stale are dropped on the way.
        """
        while not self._must_be_alone():
            queue, job_id = self._next_id(wait_seconds, takes)
            if queue is None or job_id is None:
                return None
            if (holding := self._take(queue, job_id)) is not None:
                return holding
            wait_seconds = 0
        return None

    def spec_of(self, holding: Holding) -> AnySpec:
        """Read what a claimed job asks for. Raises Refused for another function than ours, or an unreadable spec.

        RQ would import any function name that it finds in Redis; here the name is only ever compared.
        """
        try:
            name, kwargs = holding.job.func_name, holding.job.kwargs
        except DeserializationError as error:
            raise Refused(JobFault(code="invalid_spec", message="the job's arguments cannot be read")) from error
        if name != DRAW or not isinstance(kwargs, dict):
            raise Refused(JobFault(code="unknown_function", message="this worker runs no such function"))
        try:
            return read_spec(kwargs.get("spec"))
        except ValidationError as error:
            raise Refused(JobFault(code="invalid_spec", message="the job's spec does not fit this version")) from error

    def beat(self, holdings: Sequence[Holding]) -> None:
        """Say that this worker, its executions and their jobs are alive, in one round trip.

        Everything is written in full, so that records which expired during an outage come back whole.
        """
        ttl = int(self.worker_ttl)
        with self.connection.pipeline() as pipe:
            pipe.time()
            self.heartbeat(3 * ttl, pipeline=pipe)
            pipe.hset(self.key, mapping=self.serialize())
            self.set_state(WorkerStatus.BUSY if holdings else WorkerStatus.IDLE, pipeline=pipe)
            worker_registration.register(self, pipe)
            for holding in holdings:
                holding.execution.heartbeat(holding.queue.started_job_registry, ttl, pipeline=pipe)
                holding.execution.save(ttl, pipeline=pipe)
                pipe.sadd(self.executions_key, holding.execution.composite_key)
                if self._server_ahead_seconds is not None:
                    # RQ goes by this host's clock, which may be wrong or jump; all workers share the server's.
                    until = time.monotonic() + self._server_ahead_seconds + ttl
                    pipe.zadd(holding.queue.started_job_registry.key, {holding.execution.composite_key: until}, xx=True)
            seconds, microseconds = pipe.execute()[0]
        self._server_ahead_seconds = seconds + microseconds / 1e6 - time.monotonic()

    def ended_elsewhere(self, holdings: Sequence[Holding]) -> Mapping[str, bool]:
        """Return the jobs that need no more work from us: True for one asked to be canceled, False for any other reason.

        One that was taken from us and waits again is not among them: it may come back to us, and its rows are under way.
        """
        with self.connection.pipeline(transaction=False) as pipe:
            for holding in holdings:
                pipe.hmget(holding.job.key, [*OWNER_FIELDS, CANCEL_FIELD])
            answers = pipe.execute()
        found = {}
        for holding, (*owner, cancel) in zip(holdings, answers, strict=True):
            is_ours = runs_as(holding.execution, *owner)
            if (is_ours and cancel) or not (is_ours or as_text(owner[0] or b"") == JobStatus.QUEUED):
                found[holding.id] = is_ours
        return found

    def is_over(self, holding: Holding) -> bool:
        """True when a job that is ours no longer will be drawn by nobody else either: canceled, failed or deleted."""
        status = self.connection.hget(holding.job.key, "status")
        return status is None or as_text(status) in (JobStatus.CANCELED, JobStatus.STOPPED, JobStatus.FAILED)

    def report(self, told: Sequence[tuple[Holding, Progress]]) -> None:
        """Write progress into the meta of those jobs that are still ours."""
        with self.connection.pipeline(transaction=False) as pipe:
            for holding, progress in told:
                holding.job.meta["progress"] = progress.model_dump(mode="json")
                meta = holding.job.serializer.dumps(holding.job.meta)
                self._report(keys=[holding.job.key], args=[holding.execution.id, meta], client=pipe)
            pipe.execute()

    def publish_counters(self, counters: WorkerCounters) -> None:
        """Tell the fleet's monitor what this worker has counted."""
        with self.connection.pipeline(transaction=False) as pipe:
            post_counters(pipe, self.name, counters, 3 * int(self.worker_ttl))
            pipe.execute()

    def show(self, previews: Sequence[tuple[str, bytes, str, int]]) -> None:
        """Put up previews: job id, PNG, stage and number of the picture."""
        with self.connection.pipeline(transaction=False) as pipe:
            for job_id, png, stage, picture in previews:
                post_preview(pipe, job_id, png, stage, picture)
            pipe.execute()

    def succeed(self, holding: Holding, result: JobResult) -> bool:
        """Record a job's result, unless the job is no longer ours. Returns whether it was recorded."""

        def write(pipe: Pipeline) -> None:
            write_success(pipe, holding.job, result, self.name, holding.execution)
            self.increment_successful_job_count(pipe)
            self._count_time(holding.job, pipe)

        return self._conclude(holding, write)

    def fail(self, holding: Holding, fault: JobFault) -> bool:
        """Record why a job cannot be drawn. It is not retried: it would fail again. Returns whether it was recorded."""

        def write(pipe: Pipeline) -> None:
            write_failure(pipe, holding.job, fault, self.name, holding.execution)
            self.increment_failed_job_count(pipe)
            self._count_time(holding.job, pipe)

        return self._conclude(holding, write)

    def cancel(self, holding: Holding) -> bool:
        """Record that a running job was canceled, unless it is no longer ours. Returns whether it was recorded."""
        return self._conclude(holding, lambda pipe: write_cancel(pipe, holding.job, self.retention_seconds))

    def hand_back(self, holding: Holding) -> bool:
        """Put a job back at the head of its queue for another worker. That costs it none of its retries."""
        return self._conclude(holding, lambda pipe: write_requeue(pipe, holding.job, holding.queue))

    def let_go(self, holding: Holding) -> None:
        """Remove our traces of a job that needs nothing more from us."""
        with self._kept(holding), self.connection.pipeline() as pipe:
            self.cleanup_execution(holding.job, pipe, holding.execution)
            pipe.execute()

    def _next_id(self, wait_seconds: float, takes: Callable[[str], bool]) -> tuple[Queue | None, str | None]:
        """Move one id from the queue whose turn it is to its intermediate list."""
        waiting = self._waiting_now()
        if not waiting and wait_seconds > 0:
            # The server takes fractions of a second, whatever the annotation says.
            self.connection.blpop([BELL], cast("int", wait_seconds))
            waiting = self._waiting_now()
        while waiting:
            name = self.turns.next(waiting, takes)
            if name is None:
                break
            queue = next((queue for queue in self.queues if queue.name == name), None) or self._queue(name)
            found = self.connection.lmove(queue.key, queue.intermediate_queue_key)
            if found:
                return queue, as_text(found)
            waiting.remove(name)  # another worker was quicker
        return None, None

    def _must_be_alone(self) -> bool:
        """Whether nothing may be taken, because a job on its last try is here or waits for this worker to be empty.

        If that job stops this worker too, nobody goes down with it: only so is it known to be the poison, not its neighbour.
        """
        self._awaits_last_try = self._awaits_last_try and bool(self.executions)
        return self._awaits_last_try or self._last_try in self.executions

    def _waiting_now(self) -> set[str]:
        """The queues that have a job waiting, without those that are left to others for a moment."""
        flat = self._waiting(keys=[QUEUES], args=[lane_prefix(lane) for lane in LANES])
        self._left_until = {name: until for name, until in self._left_until.items() if until > time.monotonic()}
        return {name_of_list(as_text(key)) for key in flat[::2]}.difference(self._left_until)

    def _queue(self, name: str) -> Queue:
        return Queue(name, connection=self.connection, serializer=self.serializer)

    def _take(self, queue: Queue, job_id: str) -> Holding | None:
        """Start a job's execution in one transaction, if it is still queued; a stale id is dropped.

        The same records as RQ's `prepare_execution` and `prepare_job_execution`, which leave a gap between them in which a
        cancel is overwritten and a crash leaves half of them.
        """
        job_key = self.job_class.key_for(job_id)
        with self.connection.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(job_key)  # type: ignore[no-untyped-call]
                    job = self._queued_job(job_id)
                    pipe.multi()
                    pipe.lrem(queue.intermediate_queue_key, 1, job_id)
                    if job is not None and self._later_release.wants(job):
                        pipe.rpush(queue.key, job_id)
                        self._left_until[queue.name] = time.monotonic() + LEAVE_SECONDS
                        job = None
                    if job is not None and job.retries_left == 0 and self.executions:
                        pipe.lpush(queue.key, job_id)
                        self._awaits_last_try = True
                        job = None
                    if job is None:
                        pipe.execute()
                        return None
                    execution = Execution.create(job, self.get_heartbeat_ttl(job), pipe, worker_name=self.name)
                    job.prepare_for_execution(self.name, pipeline=pipe)
                    pipe.hset(job.key, ATTEMPT_FIELD, execution.id)
                    pipe.persist(job.key)
                    tell(pipe, job.id, JobState.RUNNING, job.origin)
                    self.set_state(WorkerStatus.BUSY, pipeline=pipe)
                    pipe.execute()
                    break
                except WatchError:
                    continue
        self.executions[execution.id] = execution
        self._last_try = execution.id if job.retries_left == 0 else self._last_try
        return Holding(job, queue, execution)

    def _queued_job(self, job_id: str) -> Job | None:
        try:
            job = self.job_class.fetch(job_id, connection=self.connection, serializer=self.serializer)
        except NoSuchJobError:
            return None
        except RedisError:
            raise
        except Exception:
            # One record that nobody can read must not stop the worker for all the others.
            self._log.exception("a job's record cannot be read; it is dropped", job_id=job_id)
            return None
        return job if job.get_status(refresh=False) == JobStatus.QUEUED else None

    def _conclude(self, holding: Holding, write: Callable[[Pipeline], None]) -> bool:
        """Write what becomes of a job, in the one transaction that also finds it still ours; else only remove our traces.

        A worker that was taken for dead comes back and knows nothing of it: its job may by then be drawn by another one, or
        done. Returns whether the job was ours.
        """
        with self._kept(holding), self.connection.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(holding.job.key)  # type: ignore[no-untyped-call]
                    is_ours = belongs_to(pipe, holding.job.key, holding.execution)
                    pipe.multi()
                    if is_ours:
                        write(pipe)
                    self.cleanup_execution(holding.job, pipe, holding.execution)
                    pipe.execute()
                    return is_ours
                except WatchError:
                    continue

    def _count_time(self, job: Job, pipe: Pipeline) -> None:
        if job.started_at and job.ended_at:
            self.increment_total_working_time(job.ended_at - job.started_at, pipe)

    @contextmanager
    def _kept(self, holding: Holding) -> Iterator[None]:
        """Keep an execution on the worker's list when recording its end fails: RQ takes it off before it knows."""
        try:
            yield
        except BaseException:
            self.executions[holding.execution.id] = holding.execution
            raise
