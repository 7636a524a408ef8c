"""Ten times more jobs than the engine can draw: how soon the rest is refused, and what it costs those that are taken in."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from redis import Redis

from bench.load import Sent, drained, open_loop, resident_mib, send, start_plain_worker, waits
from bench.ratios import percentile
from bench.stack import Part, stack

TIMES, ROOM = 10, 8
"""How many times the capacity is asked for; how many jobs may wait."""
CALM_JOBS = 40
SETTINGS = {
    "UNCLIP_MAX_QUEUE_DEPTH": str(ROOM),
    "UNCLIP_CONTENT_CREDENTIALS": "off",
    "UNCLIP_PICTURE_FILTER": "off",
    "PLAIN_STEP_SECONDS": "0.08",
}


@dataclass(frozen=True)
class Overload:
    """What was seen. refusal_ms, calm, admitted: 99th percentiles; calm with the queue kept full and nobody refused.

    memory: resident memory of the API in the last quarter over that in the second. recovery: seconds from the last request
    until a job, sent alone, is taken and drawn.
    """

    capacity: float
    asked: int
    taken: int
    failed: int
    refusal_ms: float
    calm: float
    admitted: float
    memory: float
    recovery: float


def overload(seconds: float, tell: Callable[[str], None]) -> Overload:
    """Run the whole of it: calm, overload for `seconds`, recovery."""
    with stack(**SETTINGS) as whole, Redis.from_url(whole.redis_url) as redis:
        start_plain_worker(whole, sys.executable)
        api = whole.start_api()
        return asyncio.run(_overload(whole.url, redis, api, seconds, tell))


async def _overload(url: str, redis: Redis, api: Part, seconds: float, tell: Callable[[str], None]) -> Overload:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        capacity, calm = await _calm(client, redis)
        tell(f"calm: {capacity:.2f} jobs a second; a job takes {percentile(calm, 99):.2f} s at the 99th percentile")
        memory: list[float] = []
        watching = asyncio.create_task(_watch(api, memory))
        sent = await open_loop(client, TIMES * capacity, seconds)
        ended_at = time.monotonic()
        watching.cancel()
        recovery = await _recovered(client, redis) - ended_at
        await drained(redis, sent)
    quarter = max(1, len(memory) // 4)
    refused = [1000 * one.seconds for one in sent if one.status == 429]
    taken = sum(one.status == 202 for one in sent)
    return Overload(
        capacity=capacity,
        asked=len(sent),
        taken=taken,
        failed=len(sent) - taken - len(refused),
        refusal_ms=percentile(refused, 99),
        calm=percentile(calm, 99),
        admitted=percentile(waits(sent, redis), 99),
        memory=max(memory[-quarter:]) / max(memory[quarter : 2 * quarter]),
        recovery=recovery,
    )


async def _calm(client: httpx.AsyncClient, redis: Redis) -> tuple[float, list[float]]:
    """Keep the queue full without asking for more: capacity, and how long each job took."""
    sent: list[Sent] = []
    began = time.time()
    while len(sent) < CALM_JOBS:
        one = await send(client, len(sent), time.time())
        if one.status == 202:
            sent.append(one)
        else:
            await asyncio.sleep(0.02)
    await drained(redis, sent)
    took = waits(sent, redis)
    return CALM_JOBS / (max(one.due + wait for one, wait in zip(sent, took, strict=True)) - began), took


async def _recovered(client: httpx.AsyncClient, redis: Redis) -> float:
    """Send one job until it is taken, and return when it has ended."""
    while (one := await send(client, 0, time.time())).status != 202:
        await asyncio.sleep(0.1)
    await drained(redis, [one])
    return time.monotonic()


async def _watch(api: Part, memory: list[float]) -> None:
    while True:
        memory.append(resident_mib(api))
        await asyncio.sleep(0.25)
