"""One API key uploads decompression bombs; another submits and uploads as ever: how much longer its requests take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from threading import Barrier

import httpx
from redis import Redis

from bench.load import JOB, resident_mib
from bench.ratios import compare, percentile
from bench.stack import Part, stack
from contract.keys import KeyRing
from tests.service.uploads import pictures

PAIRS, MOST_SECONDS = 20, 60.0
"""Submits, and as many uploads, in a block; and how long a block goes on at most."""
AT_ONCE = 4
"""Bombs in flight at any time: more than the API reads at once."""
SETTINGS = {
    # The rate of a key would cut the bombs to five a second: what they cost without it is asked here.
    "UNCLIP_KEY_RATE": "100000/minute",
    "UNCLIP_MAX_QUEUE_DEPTH": "100000",
    "UNCLIP_MAX_QUEUE_DEPTH_PER_KEY": "100000",
}
Headers = Mapping[str, str]


@dataclass
class Block:
    """Seconds of each request, by kind, and the API's largest resident memory after one."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"submit": [], "upload": []})
    memory_mib: float = 0.0


@dataclass(frozen=True)
class Bombed:
    """What was seen, without the first block of either arm.

    before: a block from before the first bomb. answers: to the bombs, how many of each status.
    """

    before: Block
    beside: list[Block]
    alone: list[Block]
    answers: Mapping[int, int]

    def p99(self, arm: list[Block], kind: str) -> float:
        """The 99th percentile of an arm's requests of a kind, in ms."""
        return 1000 * percentile([seconds for block in arm for seconds in block.seconds[kind]], 99)


def bombs(blocks: int, tell: Callable[[str], None]) -> Bombed:
    """Blocks of an ordinary caller's requests, by turns beside the bombs and alone."""
    with stack(**SETTINGS) as whole, Redis.from_url(whole.redis_url) as redis:
        api = whole.start_api()
        ring = KeyRing(redis)
        ordinary, bomber = ({"Authorization": f"Bearer {ring.create(name).token}"} for name in ("ordinary", "bomber"))
        answers, seeds = Counter[int](), count()
        seen = Bombed(_block(whole.url, ordinary, api, seeds), [], [], answers)

        def arm(blocks: list[Block]) -> float:
            blocks.append(_block(whole.url, ordinary, api, seeds))
            return percentile([seconds for kind in blocks[-1].seconds.values() for seconds in kind], 99)

        def beside() -> float:
            with _bombing(whole.url, bomber, answers):
                return arm(seen.beside)

        compare(beside, lambda: arm(seen.alone), blocks, tell)
    return Bombed(seen.before, seen.beside[1:], seen.alone[1:], answers)


def _block(url: str, headers: Headers, api: Part, seeds: Iterator[int]) -> Block:
    """Send the requests of one block, one after the other."""
    block, picture = Block(), pictures.file_of(pictures.halves())
    ends = time.monotonic() + MOST_SECONDS
    with httpx.Client(base_url=url, headers=headers, timeout=MOST_SECONDS) as client:
        for _ in range(PAIRS):
            for kind, taken in block.seconds.items():
                began = time.perf_counter()
                if kind == "submit":
                    reply = client.post("/v1/jobs", json={**JOB, "seed": next(seeds)})
                else:
                    reply = client.post("/v1/uploads", files={"image": picture})
                taken.append(time.perf_counter() - began)
                reply.raise_for_status()
            block.memory_mib = max(block.memory_mib, resident_mib(api))
            if time.monotonic() > ends:
                break
    return block


@contextmanager
def _bombing(url: str, headers: Headers, answers: Counter[int]) -> Iterator[None]:
    """Keep `AT_ONCE` bombs in flight for as long as the context lasts, from a process of their own: what is timed is not it."""
    context = get_context("spawn")
    (ours, theirs), over = context.Pipe(), context.Event()
    bomber = context.Process(target=_bomb, args=(url, headers, over, theirs))
    bomber.start()
    try:
        ours.recv()
        yield
        over.set()
        answers.update(ours.recv())
    finally:
        over.set()
        bomber.join()


def _bomb(url: str, headers: Headers, over: Event, told: Connection) -> None:
    kinds = (pictures.text_bomb(), pictures.profile_bomb(), pictures.pixels_bomb(), pictures.many_frames())
    # Nothing is timed before each of them has had an answer: a client loads certificates when it is made and modules for its
    # first request, which takes a core for longer than a bomb does.
    clients = [httpx.Client(base_url=url, headers=headers, timeout=MOST_SECONDS) for _ in range(AT_ONCE)]
    begun = Barrier(AT_ONCE, action=lambda: told.send("ready"))

    def post(first: int) -> Counter[int]:
        answers = Counter[int]()
        with clients[first] as client:
            for number in count(first):
                answers[client.post("/v1/uploads", files={"image": kinds[number % len(kinds)]}).status_code] += 1
                if number == first:
                    begun.wait(MOST_SECONDS)
                if over.is_set():
                    break
        return answers

    with ThreadPoolExecutor(AT_ONCE) as callers:
        told.send(sum(callers.map(post, range(AT_ONCE)), Counter[int]()))
