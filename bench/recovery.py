"""Seconds from `kill -9` of a worker in the middle of a job until another has begun it again: ours against stock RQ's.

Both arms run at the same time on one Valkey, each with a second worker idle from the start. The stock arm is RQ's `Worker` at
its defaults, with `Retry(max=1)`: without a retry it would fail the job instead. It takes minutes, and no processor.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
from redis import Redis
from rq import Queue, Retry
from rq.serializers import JSONSerializer

from bench.stack import Part, Stack, StackFailed, stack

STOCK_QUEUE, BEGUN = "stock", "bench:begun"
LONG_JOB = {"operation": "generate", "prompt": "a red apple", "seed": 7, "steps": 250, "n": 10}
MOST_SECONDS = 1200.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Recovery:
    """ours, stock: seconds until the job was begun again."""

    ours: float
    stock: float

    @property
    def ratio(self) -> float:
        """Ours over stock's."""
        return self.ours / self.stock


def recovery(tell: Callable[[str], None]) -> Recovery:
    """Kill both arms' workers once. Raises StackFailed when a job is not begun again within MOST_SECONDS."""
    with stack() as whole, Redis.from_url(whole.redis_url) as redis, ThreadPoolExecutor(2) as arms:
        stock = arms.submit(_stock, whole, redis)
        ours = arms.submit(_ours, whole)
        tell(f"ours: begun again after {ours.result():.1f} s; waiting for stock RQ")
        tell(f"stock RQ: begun again after {stock.result():.1f} s")
        return Recovery(ours.result(), stock.result())


def _ours(whole: Stack) -> float:
    first = whole.start_worker()
    whole.start_api()
    with httpx.Client(base_url=whole.url, timeout=10) as client:
        job_id = client.post("/v1/jobs", json=LONG_JOB).raise_for_status().json()["id"]

        def attempts() -> int:
            count: int = client.get(f"/v1/jobs/{job_id}").raise_for_status().json()["attempts"]
            return count

        _until(lambda: attempts() == 1)
        whole.parts["first"] = whole.parts.pop("worker")  # the second gets its name
        whole.start_worker()
        seconds = _kill_and_wait(first, lambda: attempts() == 2)
        client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()  # or it would draw beside the other arm for minutes
        return seconds


def _stock(whole: Stack, redis: Redis) -> float:
    Queue(STOCK_QUEUE, connection=redis, serializer=JSONSerializer).enqueue(
        "bench.recovery.hold", whole.redis_url, retry=Retry(max=1), job_timeout=-1
    )
    command = [sys.executable, "-m", "rq.cli", "worker", STOCK_QUEUE, "--url", whole.redis_url]
    command += ["--serializer", "rq.serializers.JSONSerializer"]
    first = whole.run("stock-1", command, "Listening on")
    _until(lambda: redis.llen(BEGUN) == 1)
    whole.run("stock-2", command, "Listening on")
    # Its work horse dies with it, as on a machine that loses power.
    horses = [int(redis.lindex(BEGUN, 0) or 0)]
    return _kill_and_wait(first, lambda: redis.llen(BEGUN) == 2, horses)


def hold(redis_url: str) -> None:
    """The stock arm's job: say that it has begun, and by which process, then do nothing for long."""
    with Redis.from_url(redis_url) as redis:
        redis.rpush(BEGUN, os.getpid())
    time.sleep(MOST_SECONDS)


def _kill_and_wait(worker: Part, is_begun_again: Callable[[], bool], others: list[int] | None = None) -> float:
    began = time.monotonic()
    worker.process.kill()
    for pid in others or []:
        os.kill(pid, signal.SIGKILL)
    _until(is_begun_again)
    return time.monotonic() - began


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise StackFailed(f"nothing happened for {MOST_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
