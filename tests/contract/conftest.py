"""A queue on a real Valkey, and what a worker does to its jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from redis import Redis
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.ended import tell
from contract.queue import JobQueue
from contract.settings import Settings
from contract.spec import GenerateSpec
from contract.states import JobState


@pytest.fixture
def jobs(redis: Redis, settings: Settings) -> JobQueue:
    return JobQueue(redis, settings)


@pytest.fixture
def end(redis: Redis) -> Callable[..., None]:
    """Ends a job the way the worker does."""

    def end(job_id: str, result: object = None) -> None:
        job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
        redis.lrem(Queue(job.origin, connection=redis).key, 1, job_id)
        job._result = result or {"images": [], "native_size": 64}
        with redis.pipeline() as pipe:
            job.set_status(JobStatus.FINISHED, pipeline=pipe)
            job._handle_success(job.result_ttl, pipe)
            tell(pipe, job_id, JobState.SUCCEEDED, job.origin)
            pipe.execute()

    return end


def make_spec(**fields: object) -> GenerateSpec:
    """A spec; name what matters."""
    defaults = {
        "model": "unclip-bootstrap",
        "prompt": "a red apple",
        "size": "256x256",
        "seed": 7,
        "steps": 20,
        "guidance_scale": 3.0,
        "prior_steps": 10,
        "prior_guidance_scale": 2.0,
        "upsample_steps": 8,
    }
    return GenerateSpec.model_validate(defaults | fields)
