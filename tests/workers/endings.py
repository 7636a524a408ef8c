"""What jobs end with in tests, and how a worker loses one."""

from __future__ import annotations

from rq.registry import clean_registries

from contract.record import ImageRecord, JobFault, JobResult
from tests.workers.plain import make_spec
from workers.worker import EngineWorker

FAULT = JobFault(code="numerical_failure", message="not a number")


def result_of(job_id: str) -> JobResult:
    image = ImageRecord(id=f"{job_id}-0", index=0, seed=7, width=256, height=256, content_type="image/png", bytes=9)
    return JobResult(images=(image,), native_size=256, timings={"decoder": 1.5}, truncated_tokens=2)


def submitted(jobs, **fields) -> str:
    return jobs.submit(make_spec(**fields)).id


def taken_from(worker: EngineWorker, holding) -> None:
    """Let the worker's heartbeat run out, and another one find that."""
    registry = holding.queue.started_job_registry
    worker.connection.zadd(registry.key, {holding.execution.composite_key: 1})
    clean_registries(holding.queue)
