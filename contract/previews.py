"""Previews: the picture as the decoder expects it while it is still being drawn, for callers that asked to see it.

One hash per job, the latest preview alone, gone by itself soon after the last: a preview is worth nothing later. Both functions
talk to Redis and raise its errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from redis import Redis
from redis.client import Pipeline

TTL_SECONDS = 120


@dataclass(frozen=True)
class Preview:
    """What a row's last prediction of x_0 looks like.

    `png`: 64 px. `index`: counts a job's previews from 1, on through attempts. `stage`: where the row stands. `picture`: which
    picture of the job it shows, from 0.
    """

    png: bytes
    index: int
    stage: str
    picture: int = 0


def preview_key(job_id: str) -> str:
    """Return the key of a job's latest preview."""
    return f"unclip:preview:{job_id}"


def post_preview(pipe: Pipeline | Redis, job_id: str, png: bytes, stage: str, picture: int = 0) -> None:
    """Put up a job's next preview in place of the last. With a pipeline: as a part of it."""
    key = preview_key(job_id)
    pipe.hset(key, mapping={"png": png, "stage": stage, "picture": picture})
    pipe.hincrby(key, "index", 1)
    pipe.expire(key, TTL_SECONDS)


def read_preview(redis: Redis, job_id: str, after: int = 0) -> Preview | None:
    """Return a job's latest preview; None where there is none, or none with an index above `after`."""
    key = preview_key(job_id)
    index = redis.hget(key, "index")
    if index is None or int(index) <= after:
        return None
    fields = cast("dict[bytes, bytes]", redis.hgetall(key))
    if not {b"png", b"index", b"stage"} <= fields.keys():
        return None  # it expired in between
    return Preview(fields[b"png"], int(fields[b"index"]), fields[b"stage"].decode(), int(fields.get(b"picture", 0)))
