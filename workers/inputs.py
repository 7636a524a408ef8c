"""Fetching what orders begin from: sources and masks out of the store, in threads between the clerk and the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import structlog

from contract.errors import ImageNotFound, StoreDown
from contract.record import JobFault
from contract.store import StoredImage
from workers.backoff import Backoff
from workers.engine import Order
from workers.operations import needs_of

THREADS = 2


class Shelf(Protocol):
    """The part of the image store that fetching uses."""

    def get(self, image_id: str, /) -> StoredImage:
        """Return a file. Raises ImageNotFound, StoreDown."""
        ...


class Inputs:
    """Fetches orders' inputs. `ready` and `failed` are called from some other thread."""

    def __init__(
        self,
        store: Shelf,
        ready: Callable[[Order], None],
        failed: Callable[[str, JobFault], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._ready = ready
        self._failed = failed
        self._clock = clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="inputs")
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._wanted: dict[str, Order] = {}
        self._log = structlog.get_logger(__name__)

    def takes(self, order: Order) -> bool:
        """Take an order whose inputs are missing; it comes back by `ready`. Returns False for one that needs none."""
        if order.inputs.keys() >= set(needs_of(order.spec)):
            return False
        with self._lock:
            self._wanted[order.job_id] = order
        self._pool.submit(self._fetch, order)
        return True

    def drop(self, job_id: str) -> None:
        """Forget a job; unknown ones are no error."""
        with self._lock:
            self._wanted.pop(job_id, None)

    def close(self) -> None:
        """Fetch no more, and end the threads. What was under way goes back to the queue with the clerk's other jobs."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, order: Order) -> None:
        outcome: Mapping[str, bytes] | JobFault | None
        try:
            outcome = self._read(order)
        except ImageNotFound as error:
            outcome = JobFault(code=error.code, message=error.message)
        except StoreDown:
            outcome = JobFault(code=StoreDown.code, message="the image store did not give what the job begins from in time")
        except Exception:
            self._log.exception("inputs could not be fetched", job_id=order.job_id)
            outcome = JobFault(code="engine_failure", message="what the job begins from could not be read in")
        with self._lock:
            if outcome is None or self._wanted.get(order.job_id) is not order:
                return
            del self._wanted[order.job_id]
        if isinstance(outcome, JobFault):
            self._failed(order.job_id, outcome)
        else:
            self._ready(replace(order, inputs=outcome))

    def _read(self, order: Order) -> Mapping[str, bytes] | None:
        """The files by id, as often asked for as it takes; None when nobody wants them. Raises StoreDown at the deadline."""
        backoff = Backoff(first_seconds=0.2, most_seconds=5.0)
        while self._is_wanted(order):
            try:
                return {thing_id: self._store.get(thing_id).bytes for thing_id in needs_of(order.spec)}
            except StoreDown as error:
                wait = backoff.next_seconds()
                if self._clock() + wait >= order.deadline:
                    raise
                self._log.warning("the image store does not answer", job_id=order.job_id, reason=error.reason)
                self._closing.wait(wait)
        return None

    def _is_wanted(self, order: Order) -> bool:
        with self._lock:
            return not self._closing.is_set() and self._wanted.get(order.job_id) is order
