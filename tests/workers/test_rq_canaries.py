"""What the worker leans on inside RQ, held still: when RQ changes one of these, this fails before a job is lost."""

from __future__ import annotations

import inspect
import re

import pytest
import rq
from rq.executions import Execution
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.queue import Queue
from rq.registry import CanceledJobRegistry
from rq.worker import BaseWorker

from contract.record import JobFault, JobResult
from tests.workers.plain import make_spec

TOLD = ["execution_id", "execution_started_at", "execution_ended_at"]
RESULT = JobResult(images=(), native_size=256)
FAULT = JobFault(code="numerical_failure", message="not a number")


def parameters(function: object) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def test_rq_is_the_version_that_was_read():
    assert rq.VERSION.startswith("3.0.")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (BaseWorker.cleanup_execution, ["job", "pipeline", "execution"]),
        (BaseWorker.heartbeat, ["timeout", "pipeline"]),
        (BaseWorker.get_heartbeat_ttl, ["job", "working_time"]),
        (BaseWorker.set_state, ["state", "pipeline"]),
        (BaseWorker.register_birth, []),
        (BaseWorker.register_death, []),
        (BaseWorker.serialize, []),
        (Execution.create, ["job", "ttl", "pipeline", "worker_name"]),
        (Execution.heartbeat, ["started_job_registry", "ttl", "pipeline"]),
        (Execution.save, ["ttl", "pipeline"]),
        (Job.prepare_for_execution, ["worker_name", "pipeline"]),
        (Job.save, ["pipeline", "include_meta", "include_result"]),
        (Job.set_status, ["status", "pipeline"]),
        (Queue._enqueue_job, ["job", "pipeline", "at_front", "unique"]),
        (CanceledJobRegistry.add, ["job", "ttl", "pipeline", "xx"]),
        (Job.cleanup, ["ttl", "pipeline", "remove_from_queue"]),
        (Job._handle_success, ["result_ttl", "pipeline", "worker_name", *TOLD]),
        (Job._handle_failure, ["exc_string", "pipeline", "worker_name", *TOLD]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_a_method_we_call_takes_what_we_give(function, expected):
    assert parameters(function) == expected


def test_the_intermediate_list_is_where_rq_looks_for_it(rq_queue, redis):
    assert rq_queue.intermediate_queue_key == IntermediateQueue(rq_queue.key, redis).key == f"{rq_queue.key}:intermediate"


def test_our_claim_leaves_the_records_that_rqs_own_two_steps_leave(jobs, worker, redis, rq_queue):
    ours_id = jobs.submit(make_spec()).id
    worker.claim()
    ours = _records(redis, ours_id)
    redis.flushall()
    worker.executions.clear()
    worker.start()
    theirs_id = jobs.submit(make_spec()).id
    redis.lmove(rq_queue.key, rq_queue.intermediate_queue_key)
    job = Job.fetch(theirs_id, connection=redis, serializer=worker.serializer)
    BaseWorker.prepare_execution(worker, job)
    BaseWorker.prepare_job_execution(worker, job, remove_from_intermediate_queue=True)
    assert ours == _records(redis, theirs_id)


def ended(worker, redis, jobs, end) -> dict[str, object]:
    """Every record after a job was claimed and ended."""
    redis.flushall()
    worker.executions.clear()
    worker.start()
    jobs.submit(make_spec())
    end(worker.claim())
    return _records(redis, "")


def test_our_success_leaves_the_records_that_rqs_own_leaves(jobs, worker, redis):
    def as_rq_does(holding):
        holding.job._result = RESULT.model_dump(mode="json")
        holding.job.ended_at = holding.job.started_at
        registry = holding.queue.started_job_registry
        worker.handle_job_success(holding.job, holding.queue, registry, execution=holding.execution)

    theirs = ended(worker, redis, jobs, as_rq_does)
    assert ended(worker, redis, jobs, lambda holding: worker.succeed(holding, RESULT)) == theirs


def test_our_failure_leaves_the_records_that_rqs_own_leaves(jobs, worker, redis):
    def as_rq_does(holding):
        holding.job.retries_left = 0
        holding.job.ended_at = holding.job.started_at
        holding.job.meta["error"] = {}
        holding.job.save_meta()
        worker.handle_job_failure(holding.job, holding.queue, exc_string="x", execution=holding.execution)

    theirs = ended(worker, redis, jobs, as_rq_does)
    assert ended(worker, redis, jobs, lambda holding: worker.fail(holding, FAULT)) == theirs


def test_a_field_of_ours_survives_rqs_own_save(jobs, worker, redis):
    jobs.submit(make_spec())
    holding = worker.claim()
    redis.hset(holding.job.key, "unclip_cancel_requested", "1")
    holding.job.save()
    assert redis.hget(holding.job.key, "unclip_cancel_requested") == b"1"


def test_rq_would_lengthen_our_socket_timeout_without_the_override(worker):
    assert BaseWorker.connection_timeout.fget(worker) > 2


def test_rqs_worker_list_reads_our_worker(worker, redis):
    [seen] = rq.Worker.all(connection=redis)
    assert (seen.name, seen.pid, seen.queue_names()) == (worker.name, worker.pid, worker.queue_names())


def _records(redis, job_id: str) -> dict[str, object]:
    """Every key and field in Redis, without what differs from job to job."""
    found: dict[str, object] = {}
    for key in sorted(redis.keys("*")):
        name = re.sub(r"[0-9a-f]{32}", "*", key.decode())
        kind = redis.type(key).decode()
        ttl = redis.ttl(key)
        if name.startswith("unclip:"):
            continue
        if kind == "hash":
            fields = {field: value for field, value in redis.hgetall(key).items() if not field.startswith(b"unclip_")}
            varying = {"status", "state"}
            found[name] = ({k.decode(): fields[k] if k.decode() in varying else "" for k in sorted(fields)}, ttl > 0)
        else:
            found[name] = (kind, ttl > 0)
    return found
