"""What the prompt filter costs a submit: none of it, the word lists, the classifier too, and a prompt that it remembers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

import httpx

from bench.ratios import Ratio, percentile, ratio_of
from bench.stack import LOOPBACK, Part, Stack, free_port, stack
from bench.submit import BODY, SETTINGS

POSTS, CALLERS = 100, 4
"""Submits in a block of an arm, and how many are under way at once."""
API = ("-m", "tests.service.filtered_api")
THINGS = ("apple", "boat", "cat", "house", "tree", "cake", "drum", "star")


@dataclass
class Arm:
    """An API on the one core that all of them take turns on. is_new: whether no prompt of it was ever sent before.

    rates: submits a second, of every block. seconds: of every submit. cpu_seconds: of the process, over all blocks: the system
    counts in hundredths, which is too coarse for one.
    """

    api: Part
    url: str
    is_new: bool
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def block(self, numbers: Iterator[int]) -> None:
        """Send a block's submits."""
        with httpx.Client(base_url=self.url, timeout=30) as client, ThreadPoolExecutor(CALLERS) as callers:

            def post(number: int) -> float:
                prompt = new_prompt(number) if self.is_new else BODY["prompt"]
                sent = time.perf_counter()
                client.post("/v1/jobs", json={**BODY, "prompt": prompt}).raise_for_status()
                return time.perf_counter() - sent

            before, began = self.api.processor_seconds(), time.perf_counter()
            self.seconds += callers.map(post, [next(numbers) for _ in range(POSTS)])
            self.rates.append(POSTS / (time.perf_counter() - began))
            self.cpu_seconds += self.api.processor_seconds() - before


@dataclass(frozen=True)
class Cost:
    """Of an arm: over: its rate over that without a filter. added_ms: processor time of a submit, beyond that without one.

    The rest of it alone: a_second, the median of the blocks; p50_ms and p99_ms, of all submits; cpu_ms, of one.
    """

    over: Ratio
    added_ms: float
    a_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    submits: int


def filter_costs(blocks: int, tell: Callable[[str], None]) -> Mapping[str, Cost]:
    """What submits cost by `off`, `terms`, `whole` and `remembered`; the arms take turns, forwards and then back."""
    numbers = count()
    with stack(**SETTINGS) as whole:
        arms = {name: _start(whole, name) for name in ("off", "terms", "whole")}
        arms["remembered"] = Arm(arms["whole"].api, arms["whole"].url, is_new=False)
        for number in range(blocks + 1):
            for arm in list(arms.values())[:: -1 if number % 2 else 1]:
                arm.block(numbers)
            if not number:
                for arm in arms.values():
                    arm.rates, arm.seconds, arm.cpu_seconds = [], [], 0.0
                continue
            tell(f"block {number} of {blocks}: " + ", ".join(f"{name} {arm.rates[-1]:.0f}" for name, arm in arms.items()))
    return {name: _cost(arm, arms["off"]) for name, arm in arms.items()}


def new_prompt(number: int) -> str:
    """A harmless prompt of its own for each number."""
    return f"a {THINGS[number % 8]} and {number} {THINGS[number // 8 % 8]}s"


def _start(whole: Stack, arm: str) -> Arm:
    port = free_port()
    api = whole.run(f"api-{arm}", [sys.executable, *API, arm, str(port)], "running on")
    api.pin({0})
    return Arm(api, f"http://{LOOPBACK}:{port}", is_new=True)


def _cost(arm: Arm, bare: Arm) -> Cost:
    over = ratio_of(list(zip(arm.rates, bare.rates, strict=True)))
    cpu_ms, bare_ms = (1000 * each.cpu_seconds / len(each.seconds) for each in (arm, bare))
    p50_ms, p99_ms = (1000 * percentile(arm.seconds, percent) for percent in (50, 99))
    return Cost(over, cpu_ms - bare_ms, over.first, p50_ms, p99_ms, cpu_ms, len(arm.seconds))
