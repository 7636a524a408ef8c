"""How fast jobs are taken in: the API's POST /v1/jobs against an endpoint that does nothing but RQ's `Queue.enqueue`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np

from bench.ratios import Ratio, compare
from bench.stack import LOOPBACK, Part, Stack, free_port, stack

POSTS, CALLERS = 150, 4
BODY = {"operation": "generate", "prompt": "a red apple", "seed": 7, "size": "256x256"}
SETTINGS = {"UNCLIP_MAX_QUEUE_DEPTH": "1000000"}


def submit_rate(blocks: int, tell: Callable[[str], None]) -> tuple[Ratio, str]:
    """The API's rate over the bare endpoint's, each alone at work and on one and the same core.

    Returns also the API's own rate, its median and 99th percentile, and what a request costs either process.
    """
    with stack(**SETTINGS) as whole:
        api, bare = whole.start_api(), _start_bare(whole)
        for part in (api, bare):
            part.pin({0})
        seconds: list[float] = []
        with httpx.Client(base_url=whole.url) as ours, httpx.Client(base_url=f"http://{LOOPBACK}:{_port(bare)}") as theirs:
            before = [part.processor_seconds() for part in (api, bare)]
            ratio = compare(lambda: _rate(ours, "/v1/jobs", seconds), lambda: _rate(theirs, "/bare", []), blocks, tell)
            posts = POSTS * (blocks + 1)
            cost = [1000 * (part.processor_seconds() - was) / posts for part, was in zip((api, bare), before, strict=True)]
    milliseconds = np.percentile(np.array(seconds) * 1000, (50, 99))
    told = f"{ratio.first:.0f} a second; p50 {milliseconds[0]:.1f} ms, p99 {milliseconds[1]:.1f} ms at {CALLERS} callers"
    return ratio, f"{told}; processor time {cost[0]:.2f} ms a request over {cost[1]:.2f} ms: {cost[1] / cost[0]:.2f}"


def _rate(client: httpx.Client, path: str, seconds: list[float]) -> float:
    def post(_: int) -> float:
        began = time.perf_counter()
        client.post(path, json=BODY).raise_for_status()
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as callers:
        seconds += callers.map(post, range(POSTS))
    return POSTS / (time.perf_counter() - began)


def _start_bare(whole: Stack) -> Part:
    return whole.run("bare", [sys.executable, "-m", "bench.bare_endpoint", str(free_port())], "running on")


def _port(part: Part) -> int:
    return int(str(part.process.args[-1]))  # type: ignore[index]
