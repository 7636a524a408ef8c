"""Letting go of what was kept for its time: pictures, latents and uploads in the store, and names in the lists of jobs.

A job's record goes by itself, by Redis's expiry; a store knows no such thing. One worker at a time sweeps, now and then, in a
thread of its own.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job
from rq.utils import as_text

from contract.errors import StoreDown
from contract.lanes import QUEUES, lane_and_key, name_of_list
from contract.queue import connect, index_key
from contract.settings import Settings
from contract.store import ImageStore

SWEEP_KEY = "unclip:sweep"
EVERY_SECONDS = 900.0
UNFINISHED_SECONDS = 3600.0
"""How long a file that is being written is left alone: it takes seconds, unless its process was killed."""
MARGIN_SECONDS = 900.0
"""What is kept beyond its time, for clocks that differ and for jobs that begin at its last moment."""
JOB_PART = re.compile(r"(?:lat_)?([0-9a-f]{32})-\d+")
THING = re.compile(rb"(?:up_|lat_)?[0-9a-f]{32}(?:-\d+)?")


class Sweeper:
    """Sweeps `every_seconds` until closed. `retention_seconds`: how long things are kept."""

    def __init__(self, redis: Redis, store: ImageStore, retention_seconds: float, every_seconds: float = EVERY_SECONDS) -> None:
        self._redis = redis
        self._store = store
        self._retention_seconds = retention_seconds
        self._every_seconds = every_seconds
        self._closing = threading.Event()
        self._log = structlog.get_logger(__name__)
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin, after a first wait: a worker that starts has better things to do."""
        self._thread.start()

    def close(self) -> None:
        """Stop before the next chunk. Does not wait for it: what is half swept, the next sweep finishes."""
        self._closing.set()

    def _run(self) -> None:
        while not self._closing.wait(self._every_seconds):
            try:
                self.sweep()
            except (RedisError, StoreDown) as error:
                reason = getattr(error, "reason", "") or str(error)
                self._log.warning("what has expired could not be swept; it will be", reason=reason)
            except Exception:
                self._log.exception("sweeping failed")

    def sweep(self) -> int:
        """Sweep once, unless some worker did within the interval. Returns how many files went. Raises RedisError, StoreDown."""
        if not self._redis.set(SWEEP_KEY, 1, nx=True, px=max(1, int(self._every_seconds * 900))):
            return 0
        # Of two clocks the slower: what one second too long is kept harms nobody.
        now = min(time.time(), float(self._redis.time()[0]))
        before = datetime.fromtimestamp(now - self._retention_seconds - MARGIN_SECONDS, UTC)
        gone = 0
        wanted: set[str] | None = None
        for things in self._store.aged(before):
            if self._closing.is_set():
                return gone
            ownerless = self._without_record(things)
            if ownerless and wanted is None:
                wanted = self._wanted()
            for thing in ownerless:
                if thing not in (wanted or ()):
                    self._store.delete(thing)
                    gone += 1
        gone += self._store.remove_unfinished(datetime.fromtimestamp(now - UNFINISHED_SECONDS, UTC))
        # The names of expired jobs stay for as long again: their owners are told that they are gone, not that they never were.
        self._shorten_lists(now - 2 * self._retention_seconds - MARGIN_SECONDS)
        if gone:
            self._log.info("swept what has expired", files=gone)
        return gone

    def _without_record(self, things: Sequence[str]) -> list[str]:
        """Return those that belong to no job whose record can still be read. Uploads belong to none."""
        parts = [JOB_PART.fullmatch(thing) for thing in things]
        with self._redis.pipeline(transaction=False) as pipe:
            for part in parts:
                pipe.exists(Job.key_for(part[1] if part else ""))
            has_record = pipe.execute()
        return [thing for thing, there in zip(things, has_record, strict=True) if not there]

    def _wanted(self) -> set[str]:
        """Return whatever the jobs that wait or run name as their source or mask."""
        found: set[str] = set()
        for name in [name_of_list(as_text(key)) for key in self._redis.smembers(QUEUES)]:
            if lane_and_key(name) is not None:
                queue = Queue(name, connection=self._redis)
                for chunk in _chunks(self._open_jobs(queue), 500):
                    with self._redis.pipeline(transaction=False) as pipe:
                        for job_id in chunk:
                            pipe.hget(Job.key_for(job_id), "data")
                        for data in pipe.execute():
                            found |= {thing.decode() for thing in THING.findall(_readable(data))}
        return found

    def _open_jobs(self, queue: Queue) -> list[str]:
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.lrange(queue.key, 0, -1)
            pipe.lrange(queue.intermediate_queue_key, 0, -1)
            pipe.zrange(queue.started_job_registry.key, 0, -1)
            waiting, taken, started = pipe.execute()
        return [as_text(entry).partition(":")[0] for entry in (*waiting, *taken, *started)]

    def _shorten_lists(self, before: float) -> None:
        """Take the names of jobs created before this moment out of the API keys' lists, where no record is left."""
        for index in self._redis.scan_iter(index_key("*"), count=500):
            old = [as_text(cast("bytes", entry)) for entry in self._redis.zrangebyscore(index, "-inf", before)]
            for chunk in _chunks(old, 500):
                with self._redis.pipeline(transaction=False) as pipe:
                    for job_id in chunk:
                        pipe.exists(Job.key_for(job_id))
                    gone = [job_id for job_id, there in zip(chunk, pipe.execute(), strict=True) if not there]
                if gone:
                    self._redis.zrem(index, *gone)


@contextmanager
def sweeping(settings: Settings, store: ImageStore) -> Iterator[None]:
    """Sweep now and then while the block runs, over a connection of its own: a slow store must not hold up anybody else's."""
    redis = connect(settings.queue_url, settings)
    sweeper = Sweeper(redis, store, settings.result_ttl_seconds)
    sweeper.start()
    try:
        yield
    finally:
        sweeper.close()


def _chunks(ids: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _readable(data: bytes | None) -> bytes:
    """Return a job's arguments as RQ wrote them; nothing for what cannot be read."""
    try:
        return zlib.decompress(data or b"")
    except zlib.error:
        return data or b""
