"""Blocking calls off the event loop, with a bound on how long a caller waits for one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

from contract.errors import OutageError

P = ParamSpec("P")
Result = TypeVar("Result")

PATIENCE_SECONDS = 1.8
"""The queue's and the store's own time-outs are shorter; this one also covers waiting for a thread, so that callers get
their 503 within two seconds however many of them wait on a part that hangs."""

SLICES = 3
"""The patience is counted in so many parts, none for longer than it is. While the event loop stands still (a schema is built,
the processor is somebody else's) no answer can be heard, and a part that answered in time is not to be taken for one away."""

THREADS = 32
"""For each part: a store that hangs must not take the threads of the queue."""


class Offload:
    """Runs blocking calls on threads. `down` is the outage of the part that is called: what the caller gets for no answer.

    observe: is told of every call which part it asked, by its outage, how many seconds it took, and whether it got an answer.
    """

    def __init__(
        self,
        threads: int = THREADS,
        patience_seconds: float = PATIENCE_SECONDS,
        observe: Callable[[type[OutageError], float, bool], None] = lambda _down, _seconds, _is_well: None,
    ) -> None:
        self.observe = observe
        self.threads = threads
        self.patience_seconds = patience_seconds
        self._limiters: dict[type[OutageError], anyio.CapacityLimiter] = {}

    async def __call__(self, down: type[OutageError], call: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return `call(*args, **kwargs)`, run on a thread. Raises what it raises, or `down()` when it takes too long."""
        # Made here: a limiter belongs to a running event loop, and there is none yet when this object is built.
        limiter = self._limiters.setdefault(down, anyio.CapacityLimiter(self.threads))
        began, is_well = time.perf_counter(), True
        try:
            with anyio.CancelScope() as scope, _Countdown(scope, self.patience_seconds):
                return await anyio.to_thread.run_sync(partial(call, *args, **kwargs), abandon_on_cancel=True, limiter=limiter)
            is_well = False
            raise down(f"no answer within {self.patience_seconds} s")
        except OutageError:
            is_well = False
            raise
        finally:
            self.observe(down, time.perf_counter() - began, is_well)


class _Countdown:
    """Cancels a scope after some seconds in which the event loop ran."""

    def __init__(self, scope: anyio.CancelScope, seconds: float) -> None:
        self._scope = scope
        self._slice_seconds = seconds / SLICES
        self._slices_left = SLICES

    def __enter__(self) -> None:
        self._wait()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._slice_seconds, self._slice_is_over)

    def _slice_is_over(self) -> None:
        self._slices_left -= 1
        if self._slices_left:
            self._wait()
        else:
            self._scope.cancel()
