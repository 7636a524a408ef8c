"""One API key sends a thousand jobs at once; another goes on as before: how much longer its jobs take."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import httpx
from redis import Redis

from bench.load import Sent, drained, open_loop, send, start_plain_worker, waits
from bench.ratios import percentile
from bench.stack import stack
from contract.keys import KeyRing

FLOOD, AT_ONCE = 1000, 8
A_SECOND = 1.0
WARM_SECONDS = 3.0
SETTINGS = {
    "UNCLIP_MAX_QUEUE_DEPTH": "5000",
    "UNCLIP_MAX_QUEUE_DEPTH_PER_KEY": "2000",
    "UNCLIP_KEY_RATE": "100000/minute",
    "UNCLIP_CONTENT_CREDENTIALS": "off",
    "UNCLIP_PICTURE_FILTER": "off",
    "PLAIN_STEP_SECONDS": "0.02",
}


def flood(seconds: float, tell: Callable[[str], None]) -> tuple[float, float]:
    """The 95th percentile of a key's jobs, one a second: alone, and beside another's flood; each for so many seconds."""
    with stack(**SETTINGS) as whole, Redis.from_url(whole.redis_url) as redis:
        start_plain_worker(whole, sys.executable)
        whole.start_api()
        ring = KeyRing(redis)
        steady, flooding = ({"Authorization": f"Bearer {ring.create(name).token}"} for name in ("steady", "flooding"))
        return asyncio.run(_flood(whole.url, redis, steady, flooding, seconds, tell))


async def _flood(
    url: str,
    redis: Redis,
    steady: dict[str, str],
    flooding: dict[str, str],
    seconds: float,
    tell: Callable[[str], None],
) -> tuple[float, float]:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await _steady(client, redis, steady, WARM_SECONDS)
        alone = await _steady(client, redis, steady, seconds)
        tell(f"alone: {percentile(alone, 95):.2f} s at the 95th percentile")
        waiting = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> Sent:
            async with waiting:
                return await send(client, number, 0.0, flooding)

        sending = asyncio.gather(*(one(number) for number in range(FLOOD)))
        beside = await _steady(client, redis, steady, seconds)
        taken = sum(sent.status == 202 for sent in await sending)
        tell(f"beside a flood of {FLOOD}, {taken} of them taken: {percentile(beside, 95):.2f} s")
    return percentile(alone, 95), percentile(beside, 95)


async def _steady(client: httpx.AsyncClient, redis: Redis, headers: dict[str, str], seconds: float) -> list[float]:
    sent = await open_loop(client, A_SECOND, seconds, headers)
    await drained(redis, sent)
    return waits(sent, redis)
