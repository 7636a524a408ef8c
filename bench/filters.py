"""What the prompt filter costs a submit: prompts that nobody has sent before over one that it remembers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import httpx

from bench.ratios import Ratio, compare, percentile
from bench.stack import stack
from bench.submit import BODY, SETTINGS

POSTS = 40
THINGS = ("apple", "boat", "cat", "house", "tree", "cake", "drum", "star")


@dataclass(frozen=True)
class Cost:
    """rate: submits a second, new over remembered. The rest of one submit: processor time of the API, median, in ms."""

    rate: Ratio
    remembered_ms: float
    new_ms: float
    new_p50_ms: float
    new_p99_ms: float


def filter_cost(blocks: int, tell: Callable[[str], None]) -> Cost:
    """Post one after the other, by turns with the same prompt and each time with another."""
    with stack(**SETTINGS) as whole:
        api = whole.start_api()
        numbers, seconds = count(), list[float]()
        cpu: dict[str, list[float]] = {"new": [], "remembered": []}

        def arm(name: str) -> float:
            before, began = api.processor_seconds(), time.perf_counter()
            for _ in range(POSTS):
                number = next(numbers)
                prompt = f"a {THINGS[number % 8]} and {number} {THINGS[number // 8 % 8]}s" if name == "new" else BODY["prompt"]
                sent = time.perf_counter()
                client.post("/v1/jobs", json={**BODY, "prompt": prompt}).raise_for_status()
                seconds.extend([time.perf_counter() - sent] if name == "new" else [])
            cpu[name].append((api.processor_seconds() - before) / POSTS)
            return POSTS / (time.perf_counter() - began)

        with httpx.Client(base_url=whole.url, timeout=30) as client:
            rate = compare(lambda: arm("new"), lambda: arm("remembered"), blocks, tell)
    remembered, new = (1000 * sorted(cpu[name])[len(cpu[name]) // 2] for name in ("remembered", "new"))
    return Cost(rate, remembered, new, 1000 * percentile(seconds, 50), 1000 * percentile(seconds, 99))
