"""Looking at many jobs at once: one round trip says which have changed since the last look; and at how quickly jobs go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from redis import Redis
from rq.job import Job
from rq.utils import as_text

from contract.ended import ENDED
from contract.estimates import Pace, read_pace
from contract.previews import Preview, preview_key, read_preview
from contract.queue import outages

Mark = tuple[bytes | None, ...]
"""What a job looked like; another mark, another state, progress or preview. All None: there is no such job."""


class JobWatch:
    """Looks at jobs. Raises QueueDown when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def marks(self, job_ids: Sequence[str]) -> list[Mark]:
        """Return the mark of each job, in the order of `job_ids`."""
        with outages(), self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(Job.key_for(job_id), "status", "meta")
                pipe.hget(preview_key(job_id), "index")
            answers = pipe.execute()
        return [(*fields, index) for fields, index in zip(answers[::2], answers[1::2], strict=True)]

    def newest(self) -> str:
        """Return the id of the newest entry in the stream of beginnings and ends; one before all others where there is none."""
        with outages():
            found = cast("list[tuple[bytes, Any]]", self._redis.xrevrange(ENDED, count=1))
        return as_text(found[0][0]) if found else "0-0"

    def await_news(self, after: str, wait_seconds: float) -> str:
        """Return the id of the newest entry once there is one behind `after`; `after` itself when none came in time."""
        with outages():
            found = self._redis.xread({ENDED: after}, count=1, block=max(1, int(wait_seconds * 1000)))
        return self.newest() if found else after

    def preview(self, job_id: str, after: int = 0) -> Preview | None:
        """Return a job's newest preview, None when there is none with an index above `after`."""
        with outages():
            return read_preview(self._redis, job_id, after)

    def pace(self) -> Pace:
        """Return how the last jobs went."""
        return read_pace(self._redis)
