"""An open-loop load: requests go out when they are due, whether or not the ones before were answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from redis import Redis

from bench.stack import Part, Stack
from contract.ended import ENDED, read_entries

PLAIN = ("-m", "tests.faults.plain_worker")
"""The real worker over stages that sleep instead of computing: its capacity is known, and leaves the processor alone."""
JOB = {"operation": "generate", "prompt": "a red apple", "size": "256x256", "prior_steps": 1, "steps": 2, "upsample_steps": 1}
ENTRIES = 100_000


@dataclass(frozen=True)
class Sent:
    """One request: when it was due (Unix seconds), how long its answer took, and what that was."""

    due: float
    seconds: float
    status: int
    job_id: str | None


async def send(client: httpx.AsyncClient, seed: int, due: float, headers: Mapping[str, str] | None = None) -> Sent:
    """Submit one job."""
    began = time.perf_counter()
    reply = await client.post("/v1/jobs", json={**JOB, "seed": seed}, headers=headers)
    seconds = time.perf_counter() - began
    return Sent(due, seconds, reply.status_code, reply.json().get("id"))


async def open_loop(
    client: httpx.AsyncClient, a_second: float, seconds: float, headers: Mapping[str, str] | None = None
) -> list[Sent]:
    """Submit so many jobs a second for so long; their answers, those that came late too."""
    began, tasks = time.time(), []
    for number in range(int(a_second * seconds)):
        due = began + number / a_second
        await asyncio.sleep(max(0.0, due - time.time()))
        tasks.append(asyncio.create_task(send(client, number, due, headers)))
    return list(await asyncio.gather(*tasks))


def ends(redis: Redis) -> dict[str, float]:
    """When each job ended, in Unix seconds."""
    entries = read_entries(cast("Any", redis.xrange(ENDED, count=ENTRIES)))
    return {entry.job_id: entry.at_seconds for entry in entries if entry.state.is_terminal}


def waits(sent: list[Sent], redis: Redis) -> list[float]:
    """Seconds from when each admitted job was due until it had ended; of those that have."""
    ended = ends(redis)
    return [ended[one.job_id] - one.due for one in sent if one.status == 202 and one.job_id in ended]


async def drained(redis: Redis, sent: list[Sent], most_seconds: float = 120) -> None:
    """Return once every admitted job has ended. Raises TimeoutError."""
    deadline = time.monotonic() + most_seconds
    while any(one.status == 202 for one in sent) and len(waits(sent, redis)) < sum(one.status == 202 for one in sent):
        if time.monotonic() > deadline:
            raise TimeoutError(f"jobs have not ended after {most_seconds:.0f} s")
        await asyncio.sleep(0.1)


def resident_mib(part: Part) -> float:
    """The resident memory of a process."""
    pages = int(Path(f"/proc/{part.process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def start_plain_worker(whole: Stack, python: str) -> Part:
    """Start the worker whose stages sleep."""
    return whole.run("worker", [python, *PLAIN], "worker ready")
