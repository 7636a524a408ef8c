"""The engine's worker as RQ sees it: one process that holds many executions and never forks.

It keeps RQ's records (job, execution, registries, result) so that `rq info` and its like tell the truth, and departs from
RQ's own loop where that would lose jobs or notice a death late. Every method talks to Redis and raises its connection errors;
one thread owns a worker. What it leans on in RQ is pinned by canary tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, cast

import structlog
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import ConnectionError, RedisError, WatchError
from rq import Queue, worker_registration
from rq.exceptions import DeserializationError, InvalidJobOperation, NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.suspension import is_suspended
from rq.utils import as_text, now
from rq.worker import BaseWorker, WorkerStatus

from contract.metrics import WorkerCounters, post_counters
from contract.previews import post_preview
from contract.queue import CANCEL_FIELD, DRAW
from contract.record import JobFault, JobResult, Progress
from contract.spec import AnySpec, read_spec


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

    def claim(self, wait_seconds: float = 0) -> Holding | None:
        """Take the next job, waiting up to `wait_seconds` when there is a single queue and it is empty.

        The id enters the queue's intermediate list in the same step in which it leaves the queue, so a crash at any point
        leaves it in one place or the other. None also when the id that came turned out stale.
        """
        queue, job_id = self._next_id(wait_seconds)
        return self._take(queue, job_id) if queue and job_id else None

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
            self.heartbeat(3 * ttl, pipeline=pipe)
            pipe.hset(self.key, mapping=self.serialize())
            self.set_state(WorkerStatus.BUSY if holdings else WorkerStatus.IDLE, pipeline=pipe)
            worker_registration.register(self, pipe)
            for holding in holdings:
                holding.execution.heartbeat(holding.queue.started_job_registry, ttl, pipeline=pipe)
                holding.execution.save(ttl, pipeline=pipe)
                pipe.sadd(self.executions_key, holding.execution.composite_key)
            pipe.execute()

    def ended_elsewhere(self, holdings: Sequence[Holding]) -> Mapping[str, bool]:
        """Return the jobs that need no more work: True for one asked to be canceled, False for one already ended or gone."""
        with self.connection.pipeline(transaction=False) as pipe:
            for holding in holdings:
                pipe.hmget(holding.job.key, "status", CANCEL_FIELD)
            answers = pipe.execute()
        alive = (JobStatus.STARTED, JobStatus.QUEUED)
        return {
            holding.id: bool(cancel) and status is not None
            for holding, (status, cancel) in zip(holdings, answers, strict=True)
            if cancel or status is None or as_text(status) not in alive
        }

    def report(self, told: Sequence[tuple[Holding, Progress]]) -> None:
        """Write progress into the jobs' meta."""
        with self.connection.pipeline(transaction=False) as pipe:
            for holding, progress in told:
                holding.job.meta["progress"] = progress.model_dump(mode="json")
                pipe.hset(holding.job.key, "meta", holding.job.serializer.dumps(holding.job.meta))
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
        """Record a job's result, unless it has already ended elsewhere. Returns whether it was recorded."""
        job, queue = holding.job, holding.queue
        if not self._is_open(holding):
            self.let_go(holding)
            return False
        job.ended_at = now()
        job._result = result.model_dump(mode="json")
        job._status = JobStatus.FINISHED
        with self._kept(holding):
            self.handle_job_success(job, queue, queue.started_job_registry, execution=holding.execution)
        return True

    def fail(self, holding: Holding, fault: JobFault) -> bool:
        """Record why a job cannot be drawn. It is not retried: it would fail again. Returns whether it was recorded."""
        job = holding.job
        if not self._is_open(holding):
            self.let_go(holding)
            return False
        job.meta["error"] = fault.model_dump(mode="json")
        job.save_meta()  # type: ignore[no-untyped-call]
        job.ended_at = now()
        # RQ retries while it sees retries left; None leaves the stored number as it is.
        job.retries_left = None
        with self._kept(holding):
            exc_string = f"{fault.code}: {fault.message}"
            self.handle_job_failure(job, holding.queue, exc_string=exc_string, execution=holding.execution)
            # RQ logs and swallows an error here, and the job would run again.
            if job.get_status() != JobStatus.FAILED:
                raise ConnectionError("the failure could not be recorded")
        return True

    def cancel(self, holding: Holding) -> bool:
        """Record that a running job was canceled, unless it has already ended elsewhere. Returns whether it was recorded."""
        job = holding.job
        if not self._is_open(holding):
            self.let_go(holding)
            return False
        with self._kept(holding), self.connection.pipeline() as pipe:
            job.ended_at = now()
            job.set_status(JobStatus.CANCELED, pipeline=pipe)
            job.save(pipeline=pipe, include_meta=False)
            # RQ would keep a canceled job for ever.
            pipe.expire(job.key, self.retention_seconds)
            holding.queue.canceled_job_registry.add(job, ttl=self.retention_seconds, pipeline=pipe)
            self.cleanup_execution(job, pipe, holding.execution)
            pipe.execute()
        return True

    def hand_back(self, holding: Holding) -> None:
        """Put a job back at the head of its queue for another worker. That costs it none of its retries."""
        job = holding.job
        status, worker_name = self.connection.hmget(job.key, "status", "worker_name")
        if (as_text(status or b""), as_text(worker_name or b"")) != (JobStatus.STARTED, self.name):
            self.let_go(holding)
            return
        with self._kept(holding), self.connection.pipeline() as pipe:
            self.cleanup_execution(job, pipe, holding.execution)
            holding.queue._enqueue_job(job, pipeline=pipe, at_front=True)
            pipe.execute()

    def let_go(self, holding: Holding) -> None:
        """Remove our traces of a job that needs nothing more from us."""
        with self._kept(holding), self.connection.pipeline() as pipe:
            self.cleanup_execution(holding.job, pipe, holding.execution)
            pipe.execute()

    def _next_id(self, wait_seconds: float) -> tuple[Queue | None, str | None]:
        """Move one id from a queue to its intermediate list; queues take turns."""
        if len(self.queues) == 1 and wait_seconds > 0:
            queue = self.queues[0]
            # The server takes fractions of a second, whatever the annotation says.
            found = self.connection.blmove(queue.key, queue.intermediate_queue_key, cast("int", wait_seconds))
            return queue, as_text(found) if found else None
        for queue in list(self._ordered_queues):
            found = self.connection.lmove(queue.key, queue.intermediate_queue_key)
            if found:
                self._ordered_queues.remove(queue)
                self._ordered_queues.append(queue)
                return queue, as_text(found)
        return None, None

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
                    if job is None:
                        pipe.execute()
                        return None
                    execution = Execution.create(job, self.get_heartbeat_ttl(job), pipe, worker_name=self.name)
                    job.prepare_for_execution(self.name, pipeline=pipe)
                    pipe.persist(job.key)
                    self.set_state(WorkerStatus.BUSY, pipeline=pipe)
                    pipe.execute()
                    break
                except WatchError:
                    continue
        self.executions[execution.id] = execution
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

    def _is_open(self, holding: Holding) -> bool:
        """True unless the job has ended, or expired. Taken from us and requeued is still open: whoever is first, ends it."""
        try:
            return holding.job.get_status() in (JobStatus.STARTED, JobStatus.QUEUED)
        except InvalidJobOperation:
            return False

    @contextmanager
    def _kept(self, holding: Holding) -> Iterator[None]:
        """Keep an execution on the worker's list when recording its end fails: RQ takes it off before it knows."""
        try:
            yield
        except BaseException:
            self.executions[holding.execution.id] = holding.execution
            raise
