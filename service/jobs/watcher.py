"""Following jobs: one look at a time serves everybody in this process who follows one, however many they are.

A follower that is slow holds up nobody: it meets the newest record when it comes back, never a backlog. While all only wait
for the end of their jobs, there is a look when some job begins or ends, and now and then to be sure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from contract.errors import JobNotFound, QueueDown
from contract.queue import JobQueue
from contract.record import JobRecord
from contract.states import JobState
from contract.watch import JobWatch, Mark
from service.offload import Offload

log = structlog.get_logger("service")

LOOK_SECONDS = 0.05
LOOK_SECONDS_PER_JOB = 0.00025
"""Looks come more slowly when many jobs are followed: 1,000 of them are seen about every 0.3 s."""
PLACE_SECONDS, PLACE_SECONDS_PER_JOB = 1.0, 0.005
"""How often the place in the queue is read anew; it changes without the job itself changing."""
BELL_SECONDS, BELLS = 0.25, 4
"""How long news of a beginning or an end is waited for at once: a new follower is looked after when that is over. After so many
times without news there is a look all the same: tools and old releases end jobs without a word."""
OUTAGE_PATIENCE_SECONDS = 10.0
"""How long a follower outlasts a queue that does not answer: a restart of it is no reason to leave a job in hand."""


class Topic:
    """One followed job: its newest record, and a bell that rings at each change."""

    def __init__(self, record: JobRecord, now: float) -> None:
        self.record = record
        self.error: Exception | None = None
        self.mark: Mark | None = None
        self.followers = self.keen = 0
        self.answered_at = self.read_at = now
        self.bell = asyncio.Event()

    @property
    def is_calm(self) -> bool:
        """True where nobody wants to hear of anything but the end, and there was a look already."""
        return not self.keen and self.mark is not None

    def concerns(self, mark: Mark, now: float, stale_seconds: float) -> bool:
        """True where a mark, just seen, says that the record should be read anew."""
        if self.is_calm and self.mark is not None:
            return mark[:1] != self.mark[:1]  # the status: of progress nobody wants to hear
        return mark != self.mark or (self.record.state is JobState.QUEUED and now - self.read_at >= stale_seconds)

    def tell(self, record: JobRecord, mark: Mark, now: float) -> None:
        """Take note of the newest record."""
        # A preview leaves the record as it is, so another mark alone rings too.
        is_news = record != self.record or (self.mark is not None and mark != self.mark)
        self.record, self.mark, self.read_at = record, mark, now
        if is_news:
            self.ring()

    def fail(self, error: Exception) -> None:
        """Nothing more can be known of this job."""
        self.error = error
        self.ring()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self.bell.set()
        self.bell = asyncio.Event()


class Follower:
    """One caller's view of a topic."""

    def __init__(self, topic: Topic, clock: Callable[[], float]) -> None:
        self._topic = topic
        self._clock = clock
        self._bell = topic.bell

    @property
    def record(self) -> JobRecord:
        """The job as it was last seen. Raises JobNotFound when it is gone, QueueDown after a long outage."""
        if self._topic.error is not None:
            raise self._topic.error
        if self._clock() - self._topic.answered_at >= OUTAGE_PATIENCE_SECONDS:
            raise QueueDown("no look at the followed jobs succeeded")
        return self._topic.record

    async def change(self, timeout_seconds: float) -> bool:
        """Wait until something changes, at once if it has since the last call. Returns False when nothing did in time."""
        try:
            await asyncio.wait_for(self._bell.wait(), timeout_seconds)
        except TimeoutError:
            return False
        finally:
            self._bell = self._topic.bell
        return True


class Watcher:
    """Looks at all followed jobs on a task of its own, which runs only while there are any."""

    def __init__(self, queue: JobQueue, watch: JobWatch, offload: Offload, clock: Callable[[], float] = time.monotonic) -> None:
        self.queue = queue
        self.watch = watch
        self.offload = offload
        self.clock = clock
        self._topics: dict[str, Topic] = {}
        self._bell = Offload(threads=1)  # not the one whose calls are measured: this one waits on purpose
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def follow(self, record: JobRecord, *, is_keen: bool = True) -> AsyncIterator[Follower]:
        """Follow the job of `record`, which was just read, until the block is left.

        is_keen: whether every change is wanted; else those of its state alone, and nothing is said of its progress.
        """
        topic = self._topics.get(record.id)
        if topic is None or topic.error is not None:
            topic = self._topics[record.id] = Topic(record, self.clock())
        topic.followers += 1
        topic.keen += is_keen
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            yield Follower(topic, self.clock)
        finally:
            topic.followers -= 1
            topic.keen -= is_keen
            if not topic.followers and self._topics.get(record.id) is topic:
                del self._topics[record.id]

    async def _run(self) -> None:
        newest = ""
        while self._topics:
            try:
                # Before the look: what comes in between rings once more.
                newest = newest or await self._bell(QueueDown, self.watch.newest)
                await self._look()
            except QueueDown:
                pass  # followers see for themselves how long nobody answered
            except Exception:
                log.exception("a look at the followed jobs failed")
            await asyncio.sleep(LOOK_SECONDS + LOOK_SECONDS_PER_JOB * len(self._topics))
            newest = await self._rest(newest)

    async def _rest(self, newest: str) -> str:
        """Wait until it is worth a look, where all is calm. Returns the newest entry that is known of, empty for none."""
        for _ in range(BELLS):
            if not newest or not self._topics or not all(topic.is_calm for topic in self._topics.values()):
                break
            try:
                seen = await self._bell(QueueDown, self.watch.await_news, newest, BELL_SECONDS)
            except QueueDown:
                return ""
            if seen != newest:
                return seen
        return newest

    async def _look(self) -> None:
        topics = list(self._topics.items())
        marks = await self.offload(QueueDown, self.watch.marks, [job_id for job_id, _ in topics])
        now = self.clock()
        stale_after = PLACE_SECONDS + PLACE_SECONDS_PER_JOB * len(topics)
        for (job_id, topic), mark in zip(topics, marks, strict=True):
            topic.answered_at = now
            if topic.concerns(mark, now, stale_after):
                await self._read(job_id, topic, mark)

    async def _read(self, job_id: str, topic: Topic, mark: Mark) -> None:
        try:
            record = await self.offload(QueueDown, self.queue.fetch, job_id)
        except JobNotFound as error:
            topic.fail(error)
            return
        topic.tell(record, mark, self.clock())
