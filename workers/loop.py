"""The engine's loop: orders in, one tick, outcomes out; until told to stop, and then until drained."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Generic

import structlog

from contract.record import JobFault, JobResult, Progress
from workers.clerk import Clerk, Drop, orders
from workers.engine import AnyRow, Drawn, Engine, Order
from workers.inputs import Inputs
from workers.publish import Publisher
from workers.tally import PUBLISH

IDLE_SECONDS = 0.2
SAME_REQUEST_SECONDS = 1.0


class StopRequest:
    """Says when to stop: told once, finish what is in hand; told again later, hand it back at once.

    A second signal within a second is the same request: Ctrl-C reaches a whole process group, and then a supervisor tells its
    children too. The handler only sets flags, so a signal never interrupts a job halfway between the queue and this process.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.asked_at: float | None = None
        self.is_urgent = False

    @property
    def is_asked(self) -> bool:
        """True once anybody asked."""
        return self.asked_at is not None

    def listen(self) -> None:
        """Heed SIGTERM and SIGINT. Main thread only."""
        signal.signal(signal.SIGTERM, self.ask)
        signal.signal(signal.SIGINT, self.ask)

    def ask(self, *_: int | FrameType | None) -> None:
        """Ask to stop; asked again, urgently."""
        if self.asked_at is None:
            self.asked_at = self.clock()
        elif self.clock() - self.asked_at >= SAME_REQUEST_SECONDS:
            self.is_urgent = True


class Loop(Generic[AnyRow]):
    """Drives one engine between a clerk and a publisher, in the calling thread.

    inputs: None where no job begins at a picture.
    """

    def __init__(
        self,
        engine: Engine[AnyRow],
        clerk: Clerk,
        publisher: Publisher,
        stop: StopRequest,
        drain_seconds: float,
        inputs: Inputs | None = None,
    ) -> None:
        self.inputs = inputs
        self.engine = engine
        self.clerk = clerk
        self.publisher = publisher
        self.stop = stop
        self.drain_seconds = drain_seconds
        clerk.on_shutdown = stop.ask
        self._drain_until: float | None = None
        self._log = structlog.get_logger(__name__)

    def run(self) -> None:
        """Work until told to stop and drained. Raises EngineBroken, or RuntimeError from what stopped the clerk."""
        self.clerk.start()
        try:
            is_busy = False
            while not self._may_leave():
                is_busy = self.turn(0 if is_busy else IDLE_SECONDS)
        finally:
            # First the clerk: what the publisher gives up on must be back in the queue.
            self.publisher.give_up()
            self.clerk.close()
            self.publisher.close()
            if self.inputs is not None:
                self.inputs.close()

    def turn(self, wait_seconds: float) -> bool:
        """One round. Returns False when the engine had nothing to do."""
        self.clerk.engine_came_round()
        for message in orders(self.clerk.for_engine, wait_seconds):
            self._heed(message)
        is_busy = self.engine.tick()
        for outcome in self.engine.outcomes():
            job_id = outcome.order.job_id
            if isinstance(outcome, Drawn):
                self.clerk.drawn(job_id)
                self.clerk.board.post(job_id, Progress(stage=PUBLISH, step=0, steps=1, fraction=1.0))
                self.publisher.publish(outcome, self._published)
            else:
                self.clerk.end(job_id, outcome.fault)
        self._tell()
        return is_busy

    def _heed(self, message: Order | Drop) -> None:
        if isinstance(message, Drop):
            if self.inputs is not None:
                self.inputs.drop(message.job_id)
            self.engine.drop(message.job_id)
            self.clerk.drawn(message.job_id)
            if message.is_recorded:
                self.publisher.discard(message.job_id)
        elif self.inputs is None or not self.inputs.takes(message):
            self.engine.admit(message)

    def _tell(self) -> None:
        """Put up how far each job is, and what it looks like where its caller wants to see it."""
        for job_id, ticket in self.engine.tickets.items():
            progress = self.engine.progress(job_id)
            if progress is not None:
                self.clerk.board.post(job_id, progress)
            if ticket.order.spec.previews and self.clerk.previews.is_due(job_id):
                sketch = self.engine.sketch(job_id)
                if sketch is not None:
                    self.clerk.previews.post(job_id, sketch)

    def _published(self, job_id: str, outcome: JobResult | JobFault) -> None:
        self.clerk.end(job_id, outcome)

    def _may_leave(self) -> bool:
        if self.clerk.error is not None:
            raise RuntimeError("the clerk stopped") from self.clerk.error
        if not self.stop.is_asked:
            return False
        if self._drain_until is None:
            self.clerk.stop_claiming()
            self._drain_until = time.monotonic() + self.drain_seconds
            self._log.info("stopping; what is in hand gets finished", at_most_seconds=self.drain_seconds)
        return self.clerk.is_done or self.stop.is_urgent or time.monotonic() >= self._drain_until
