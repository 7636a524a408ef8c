"""A queue with a worker beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import structlog
from redis import Redis
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.queue import JobQueue, queue_name
from contract.settings import Settings
from workers.worker import EngineWorker

TTL_SECONDS = 8
RETENTION_SECONDS = 3600


@pytest.fixture(autouse=True, scope="session")
def _plain_tracebacks() -> Iterator[None]:
    """structlog's own draw every local variable of every frame, which takes a second each."""
    structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])
    yield
    structlog.reset_defaults()


@pytest.fixture
def jobs(redis: Redis, settings: Settings) -> JobQueue:
    return JobQueue(redis, settings)


@pytest.fixture
def rq_queue(redis: Redis) -> Queue:
    return Queue(queue_name(), connection=redis, serializer=JSONSerializer)


@pytest.fixture
def new_worker(valkey) -> Iterator[Callable[[], EngineWorker]]:
    """Makes workers, each with a connection of its own."""
    made = []

    def make() -> EngineWorker:
        worker = EngineWorker([queue_name()], valkey.client(), TTL_SECONDS, RETENTION_SECONDS)
        worker.start()
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.connection.close()


@pytest.fixture
def worker(new_worker) -> EngineWorker:
    return new_worker()


@pytest.fixture
def rq_job(redis: Redis) -> Callable[[str], Job]:
    """Reads RQ's own record of a job."""
    return lambda job_id: Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
