"""What a thousand followers of jobs cost the engine: pictures a second with them over without; API and engine, a core each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.ratios import Ratio, compare
from bench.service import through_service
from bench.stack import LOOPBACK, Stack, stack

WATCHERS, JOBS = 1000, 20
LONG_JOB = {"operation": "generate", "prompt": "two boats", "seed": 1, "steps": 250, "n": 10, "lane": "batch"}
API_CORE, ENGINE_CORE = {0}, {1}
CONNECT_SECONDS = 60.0


def watched_over_alone(model: Path, blocks: int, tell: Callable[[str], None]) -> tuple[Ratio, str]:
    """The ratio of the rates, and how many events the watchers were told."""
    with stack(UNCLIP_MODEL_DIR=str(model), UNCLIP_WORKER_THREADS="1") as whole:
        whole.start_worker().pin(ENGINE_CORE)
        whole.start_api().pin(API_CORE)
        with httpx.Client(base_url=whole.url, timeout=300) as client:
            watched = [client.post("/v1/jobs", json=LONG_JOB).raise_for_status().json()["id"] for _ in range(JOBS)]
            told = [0]

            def with_watchers() -> float:
                with watchers(whole, watched, told):
                    return through_service(client)

            ratio = compare(with_watchers, lambda: through_service(client), blocks, tell)
            for job_id in watched:
                client.post(f"/v1/jobs/{job_id}/cancel")
    return ratio, f"{WATCHERS} watchers of {JOBS} jobs were told {told[0]} events"


@contextmanager
def watchers(whole: Stack, job_ids: list[str], told: list[int]) -> Iterator[None]:
    """Meanwhile, WATCHERS connections read the events of some jobs. told: counts them, over all calls."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(_watch(whole.port, job_ids, told, ready)), daemon=True)
    thread.start()
    try:
        if not ready.wait(CONNECT_SECONDS):
            raise TimeoutError(f"{WATCHERS} watchers did not connect within {CONNECT_SECONDS:.0f} s")
        yield
    finally:
        for task in asyncio.all_tasks(loop):
            loop.call_soon_threadsafe(task.cancel)
        thread.join(10)


async def _watch(port: int, job_ids: list[str], told: list[int], ready: threading.Event) -> None:
    waiting = asyncio.Semaphore(50)
    connected = 0

    async def follow(job_id: str) -> None:
        nonlocal connected
        async with waiting:
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode())
            status = await reader.readline()
            if b" 200 " not in status:
                raise RuntimeError(f"a watcher was answered {status!r}")
        connected += 1
        if connected == WATCHERS:
            ready.set()
        while line := await reader.readline():
            told[0] += line.startswith(b"data:")
        writer.close()

    try:
        await asyncio.gather(*(follow(job_ids[number % len(job_ids)]) for number in range(WATCHERS)))
    except asyncio.CancelledError:
        return
