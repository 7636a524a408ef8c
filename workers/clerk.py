"""The clerk: a thread that does all the talking to the queue, so that the engine never waits for it.

It claims jobs and hands them to the engine as orders, keeps them alive, passes cancels on, and records how they end. When Redis
is away the engine draws on; what there is to record waits here until Redis is back. Each round holds up the engine for a moment
(Python's lock), so there are few: about five a second, and one for each piece of news (an end, room for another job, the bell).
"""

from __future__ import annotations

import queue as queues
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from contract.record import JobFault, JobResult
from contract.trace import origin_of
from workers.backoff import Backoff
from workers.ear import SHUTDOWN, STOPS, Command, Ear, Ring
from workers.engine import Order
from workers.previews import PreviewBoard, encode_preview
from workers.progress import ProgressBoard
from workers.recovery import Recovery
from workers.room import Room
from workers.tally import Tally
from workers.worker import EngineWorker, Holding, Refused

IDLE_WAIT_SECONDS = 0.5
LOOK_SECONDS = 0.2
"""So often, while jobs are in hand, are cancels looked for, progress told, and jobs found whose bell nobody heard."""
LEAST_WAIT_SECONDS = 0.05
"""What is overdue and cannot be done (a beat while the engine is stuck) is tried again no sooner."""
STALL_SECONDS = 120.0
"""An engine that has not come round for this long is stuck: its jobs must look abandoned, so that others take them."""
MAX_HOLDINGS = 32
"""Jobs in hand at most, including those whose pictures wait for the store."""


@dataclass(frozen=True)
class End:
    """How a job ended, still to be recorded."""

    job_id: str
    outcome: JobResult | JobFault


@dataclass(frozen=True)
class Wake:
    """Come round: there may be room for another job, or the end has come."""


@dataclass(frozen=True)
class Drop:
    """Tells the engine to forget a job. `is_recorded`: the queue knows that it was canceled or failed; its pictures may go."""

    job_id: str
    is_recorded: bool = False


@dataclass(frozen=True)
class Pace:
    """How often the clerk does what, all in seconds, from the time after which a silent worker is taken for dead."""

    beat_seconds: float
    recovery_seconds: float

    @classmethod
    def of(cls, ttl_seconds: float) -> Pace:
        """Return the pace at which a death is noticed within one and a half times its `ttl_seconds`."""
        return cls(beat_seconds=ttl_seconds / 4, recovery_seconds=ttl_seconds / 4)


class Clerk:
    """Stands between the queue and the engine. `rows`: in flight, at which a lane is full (`workers.room`)."""

    def __init__(
        self, worker: EngineWorker, recovery: Recovery, pace: Pace, rows: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.worker = worker
        self.recovery = recovery
        self.pace = pace
        self.rows = rows
        self.clock = clock
        self.board = ProgressBoard(clock)
        self.previews = PreviewBoard(clock)
        self.tally = Tally()
        self.for_engine: queues.SimpleQueue[Order | Drop] = queues.SimpleQueue()
        self.error: BaseException | None = None
        self.engine_seen_at = clock()
        self.on_shutdown: Callable[[], None] = lambda: None
        self._holdings: dict[str, Holding] = {}
        self._drawing: dict[str, int] = {}
        self._news: queues.SimpleQueue[End | Wake | Ring | Command] = queues.SimpleQueue()
        self._ear = Ear(worker.connection, worker.name, self._news.put)
        self._unrecorded: dict[str, JobResult | JobFault | None] = {}
        self._due = {"beat": 0.0, "recovery": 0.0, "look": 0.0}
        self._claiming = True
        self._is_suspended = False
        self._closing = threading.Event()
        self._log = structlog.get_logger(__name__)
        self._thread = threading.Thread(target=self._run, name="clerk", daemon=True)

    # What the engine's thread calls.

    def start(self) -> None:
        """Begin to claim jobs."""
        self._ear.start()
        self._thread.start()

    def engine_came_round(self) -> None:
        """Note that the engine's loop is alive."""
        self.engine_seen_at = self.clock()

    def drawn(self, job_id: str) -> None:
        """Note that a job has left the engine, so that there is room for another."""
        if self._drawing.pop(job_id, None) is not None:
            self._news.put(Wake())

    def end(self, job_id: str, outcome: JobResult | JobFault) -> None:
        """Have a job's end recorded, as soon as the queue can. Any thread may call this."""
        self.drawn(job_id)
        self._news.put(End(job_id, outcome))

    def stop_claiming(self) -> None:
        """Take no more jobs."""
        self._claiming = False

    @property
    def is_done(self) -> bool:
        """True when nothing is in hand any more."""
        return not self._holdings

    def close(self, hand_back_seconds: float = 2.0) -> None:
        """Hand back what is still in hand, leave the list of workers, end the thread. Gives up when Redis is away."""
        self._claiming = False
        self._closing.set()
        self._ear.close()
        self._news.put(Wake())
        if self._thread.ident is not None:
            self._thread.join(timeout=hand_back_seconds + 2 * IDLE_WAIT_SECONDS)
        try:
            self._record_ends()
            for holding in list(self._holdings.values()):
                self.worker.hand_back(holding)
                self.tally.handed_back()
                self._log.info("a job went back to the queue", job_id=holding.id)
            self.worker.stop()
        except RedisError as error:
            self._log.warning("the queue is away; others will take over", jobs=len(self._holdings), reason=str(error))

    # The clerk's own thread.

    def _run(self) -> None:
        # Back before others begin to wonder: they watch for half a lease before they believe that it has run out.
        backoff = Backoff(first_seconds=0.1, most_seconds=min(2.0, self.pace.beat_seconds))
        is_away = False
        try:
            while not self._closing.is_set():
                try:
                    self._turn()
                except RedisError as error:
                    if not is_away:
                        reason = f"{type(error).__name__}: {error}"
                        self._log.warning("the queue does not answer; drawing goes on", reason=reason)
                    is_away = True
                    self._closing.wait(backoff.next_seconds())
                    continue
                if is_away:
                    self._log.info("the queue is back")
                    self._after_outage()
                is_away = False
                backoff.reset()
        except BaseException as error:
            self.error = error

    def _turn(self) -> None:
        """One round of everything; raises RedisError, having lost nothing, when Redis is away."""
        if self._is_due("beat") and not self._is_stuck():
            self.worker.beat(list(self._holdings.values()))
            self.worker.publish_counters(self.tally.counters(sum(list(self._drawing.values())), len(self._holdings)))
            self._is_suspended = self.worker.is_suspended
            self._done("beat", self.pace.beat_seconds)
        self._record_ends()
        if self._is_due("look"):
            if self._holdings:
                self._pass_on_cancels()
                self._report_progress()
                self._show_previews()
            self._done("look", LOOK_SECONDS)
        if self._is_due("recovery"):
            self.worker.discover()
            for job_id in self.recovery.run(*self.worker.queues):
                self.for_engine.put(Drop(job_id, is_recorded=True))
            self._done("recovery", self.pace.recovery_seconds)
        if not (self._may_claim() and self._claim()):
            self._take_news(0 if self._unrecorded else max(LEAST_WAIT_SECONDS, min(self._due.values()) - self.clock()))

    def _claim(self) -> bool:
        """Claim a job if there is room and one for it. Returns False when it found none and did not wait for one either."""
        room = self._room()
        if room.is_shut:
            return False
        # With nothing in hand, wait at the bell: the next job begins at once.
        can_wait = self.is_done
        holding = self.worker.claim(IDLE_WAIT_SECONDS if can_wait else 0, room.takes)
        if holding is None:
            return can_wait
        before = self._holdings.get(holding.id)
        self._holdings[holding.id] = holding
        if before is not None:
            # It was taken from us while we were cut off, and came back to us: its rows are still travelling.
            self.worker.executions.pop(before.execution.id, None)
            return True
        try:
            spec = self.worker.spec_of(holding)
        except Refused as refused:
            self._log.warning("a job was refused", **_about(holding), code=refused.fault.code)
            self._unrecorded[holding.id] = refused.fault
            return True
        self._log.info("a job begins", **_about(holding), pictures=spec.pictures, operation=spec.operation, steps=spec.steps)
        self.worker.turns.charge(holding.queue.name, spec.pictures)
        self._drawing[holding.id] = spec.pictures
        self.for_engine.put(Order(holding.id, spec, self.clock() + (holding.job.timeout or float("inf"))))
        return True

    def _take_news(self, wait_seconds: float) -> None:
        """Take in all that there is to know, waiting up to `wait_seconds` for the first of it."""
        try:
            while True:
                news = self._news.get(timeout=wait_seconds)
                if isinstance(news, End):
                    self._unrecorded.setdefault(news.job_id, news.outcome)
                elif isinstance(news, Command):
                    self._obey(news)
                wait_seconds = 0
        except queues.Empty:
            return

    def _record_ends(self) -> None:
        self._take_news(0)
        for job_id, outcome in list(self._unrecorded.items()):
            holding = self._holdings.get(job_id)
            if holding is not None:
                self._record(holding, outcome)
            del self._unrecorded[job_id]
            self._forget(job_id)

    def _record(self, holding: Holding, outcome: JobResult | JobFault | None) -> None:
        if outcome is None:
            if self.worker.cancel(holding):
                self.tally.ended(outcome)
                self._log.info("a job was canceled", **_about(holding))
                self.for_engine.put(Drop(holding.id, is_recorded=True))
        elif isinstance(outcome, JobFault):
            if self.worker.fail(holding, outcome):
                self.tally.ended(outcome)
                self._log.warning("a job failed", **_about(holding), code=outcome.code)
                self.for_engine.put(Drop(holding.id, is_recorded=True))
        elif self.worker.succeed(holding, outcome):
            self.tally.ended(outcome)
            self._log.info("a job succeeded", **_about(holding), seconds=dict(outcome.timings))
        elif self.worker.is_over(holding):
            self.for_engine.put(Drop(holding.id, is_recorded=True))

    def _pass_on_cancels(self) -> None:
        holdings = [holding for holding in self._holdings.values() if holding.id not in self._unrecorded]
        for job_id, is_canceled in self.worker.ended_elsewhere(holdings).items():
            holding = self._holdings[job_id]
            if is_canceled:
                self.for_engine.put(Drop(job_id))
                self._unrecorded[job_id] = None
            else:
                self._log.info("a job has ended elsewhere", job_id=job_id)
                self.for_engine.put(Drop(job_id, is_recorded=self.worker.is_over(holding)))
                self.worker.let_go(holding)
                self._forget(job_id)

    def _obey(self, command: Command) -> None:
        """Do what an operator asks of this worker by RQ's own commands."""
        if command.name == SHUTDOWN:
            self._log.info("told to stop by a command")
            self.on_shutdown()
        elif command.name in STOPS and command.job_id in self._holdings and command.job_id not in self._unrecorded:
            self._log.info("told to stop a job by a command", job_id=command.job_id)
            self.for_engine.put(Drop(command.job_id))
            self._unrecorded[command.job_id] = None
        else:
            self._log.warning("a command that means nothing here", command=command.name)

    def _report_progress(self) -> None:
        due = self.board.due()
        for job_id in due.keys() - self._holdings.keys():
            self.board.forget(job_id)  # told by the engine after the job had ended
        due = {job_id: progress for job_id, progress in due.items() if job_id in self._holdings}
        if due:
            self.worker.report([(self._holdings[job_id], progress) for job_id, progress in due.items()])
            self.board.sent(due)

    def _show_previews(self) -> None:
        waiting = self.previews.waiting()
        for job_id in waiting.keys() - self._holdings.keys():
            self.previews.forget(job_id)
        waiting = {job_id: sketch for job_id, sketch in waiting.items() if job_id in self._holdings}
        if waiting:
            self.worker.show([(id_, encode_preview(each), each.stage, each.picture) for id_, each in waiting.items()])
            self.previews.sent(waiting)

    def _forget(self, job_id: str) -> None:
        self._holdings.pop(job_id, None)
        self._drawing.pop(job_id, None)
        self.board.forget(job_id)
        self.previews.forget(job_id)

    def _after_outage(self) -> None:
        """Give every worker the time to say that it is alive, before anybody's silence is taken for death."""
        self._due["beat"] = 0.0
        self.recovery.restart()

    def _may_claim(self) -> bool:
        return (
            self._claiming
            and not self._is_suspended
            and not self._is_stuck()
            and not self._closing.is_set()
            and len(self._holdings) < MAX_HOLDINGS
        )

    def _room(self) -> Room:
        rows: Counter[str] = Counter()
        for job_id, count in list(self._drawing.items()):
            if (holding := self._holdings.get(job_id)) is not None:
                rows[holding.queue.name] += count
        return Room(rows, self.rows)

    def _is_stuck(self) -> bool:
        return self.clock() - self.engine_seen_at >= STALL_SECONDS

    def _is_due(self, what: str) -> bool:
        return self.clock() >= self._due[what]

    def _done(self, what: str, seconds: float) -> None:
        self._due[what] = self.clock() + seconds


def _about(holding: Holding) -> dict[str, str]:
    """Return what every log line on a job says: its id, and the request and trace that it came with."""
    origin = origin_of(holding.job.meta)
    return {"job_id": holding.id, **(origin.as_log() if origin else {})}


def orders(inbox: queues.SimpleQueue[Order | Drop], wait_seconds: float) -> Sequence[Order | Drop]:
    """Return everything in the engine's inbox, waiting up to `wait_seconds` for the first."""
    found: list[Order | Drop] = []
    try:
        while True:
            found.append(inbox.get(timeout=wait_seconds) if wait_seconds else inbox.get_nowait())
            wait_seconds = 0
    except queues.Empty:
        return found
