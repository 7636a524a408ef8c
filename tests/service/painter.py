"""A stand-in for the worker: takes jobs off the real queue and finishes them as the contract says, without a model."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from PIL import Image
from redis import Redis
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.ended import tell
from contract.queue import queue_name
from contract.settings import Settings
from contract.spec import AnySpec, read_spec
from contract.states import JobState
from contract.store import ImageStore, image_id

NATIVE_SIZE = 256


class Painter:
    """Paints every picture in one colour, which its seed chooses."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        self.queue = Queue(queue_name(), connection=redis, serializer=JSONSerializer)
        self.store = ImageStore.open(settings)

    def start(self, job_id: str | None = None) -> Job:
        """Claim a job, the oldest if none is named, and leave it running."""
        taken = job_id or self.queue.job_ids[0]
        self.redis.lrem(self.queue.key, 1, taken)
        job = Job.fetch(taken, connection=self.redis, serializer=JSONSerializer)
        with self.redis.pipeline() as pipe:
            job.prepare_for_execution("painter", pipe)
            tell(pipe, job.id, JobState.RUNNING, job.origin)
            pipe.execute()
        return job

    def tell_progress(self, job: Job, **progress: object) -> None:
        job.meta["progress"] = progress
        job.save_meta()

    def succeed(self, job: Job, truncated_tokens: int = 0, keep: bool = True, blocked: Sequence[int] = ()) -> None:
        """Store the job's pictures but those that are to be blocked, then end it."""
        spec = read_spec(job.kwargs["spec"])
        pictures = [self._paint(job.id, index, spec) for index in range(spec.pictures) if index not in blocked]
        if not keep:
            self.store.delete(image_id(job.id, 0))
        job._result = {
            "images": pictures,
            "blocked": [{"index": index, "categories": ["sexual"], "scores": {"sexual": 0.93}} for index in blocked],
            "native_size": NATIVE_SIZE,
            "timings": {"prior": 0.5, "decoder": 2.0, "upsample_256": 1.0},
            "truncated_tokens": truncated_tokens,
        }
        with self.redis.pipeline() as pipe:
            job._handle_success(job.result_ttl, pipe)
            tell(pipe, job.id, JobState.SUCCEEDED, job.origin)
            pipe.execute()

    def fail(self, job: Job, error: Mapping[str, Any]) -> None:
        """End the job without pictures."""
        job.meta["error"] = dict(error)
        job.save_meta()
        with self.redis.pipeline() as pipe:
            job.set_status(JobStatus.FAILED, pipeline=pipe)
            job._handle_failure("Traceback (most recent call last): secret", pipe)
            tell(pipe, job.id, JobState.FAILED, job.origin)
            pipe.execute()

    def _paint(self, job_id: str, index: int, spec: AnySpec) -> dict[str, Any]:
        data = painted(spec.picture_seed(index), spec.size_px)
        self.store.put(image_id(job_id, index), data)
        return {
            "id": image_id(job_id, index),
            "index": index,
            "seed": spec.picture_seed(index),
            "width": spec.size_px,
            "height": spec.size_px,
            "content_type": "image/png",
            "bytes": len(data),
        }

    @contextmanager
    def at_work(self, finish: str = "succeed", **how: Any) -> Iterator[None]:
        """Meanwhile, end every job that comes in, on a thread."""
        leave = threading.Event()

        def work() -> None:
            while not leave.is_set():
                if self.redis.llen(self.queue.key):
                    with suppress(NoSuchJobError, IndexError):  # canceled or deleted in between
                        getattr(self, finish)(self.start(), **how)
                time.sleep(0.01)

        worker = threading.Thread(target=work, name="painter")
        worker.start()
        try:
            yield
        finally:
            leave.set()
            worker.join(timeout=5)


def painted(seed: int, size_px: int) -> bytes:
    """A PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (size_px, size_px), (seed % 251, seed % 241, seed % 239)).save(file, "PNG")
    return file.getvalue()
