"""What a worker is told while it draws: that a job came to some queue, and what operators say by RQ's own commands.

Both come by publish and subscribe, so what is said while the worker is cut off is lost: it looks at the queues now and then in
any case, and an operator may ask again. RQ's commands are `rq.command.send_shutdown_command` and its like.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError
from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.utils import as_text

from contract.bell import BELL
from workers.backoff import Backoff

SHUTDOWN = "shutdown"
STOPS = ("stop-job", "stop-execution")
"""Both end a job here: a job of ours never runs twice at once."""
LISTEN_SECONDS = 1.0
IDLE_FIRST_SECONDS = 0.02
"""So long does a worker that is drawing wait after the bell: one with nothing to do shall have the job."""


@dataclass(frozen=True)
class Command:
    """One command. `job_id`: the job that a stop is about."""

    name: str
    job_id: str = ""


@dataclass(frozen=True)
class Ring:
    """A job came to a queue that had been empty, or came back to one."""


class Ear:
    """Listens in a thread of its own, which tells `tell` what it hears. Waiting there costs the engine nothing."""

    def __init__(self, redis: Redis, worker_name: str, tell: Callable[[Command | Ring], None]) -> None:
        self._redis, self._tell = redis, tell
        self._channel = PUBSUB_CHANNEL_TEMPLATE % worker_name
        self._closed = threading.Event()
        self.listens = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ear", daemon=True)

    def start(self) -> None:
        """Begin to listen. `listens` is set while it does."""
        self._thread.start()

    def close(self) -> None:
        """Listen no more. Waits for the thread to end, which takes `LISTEN_SECONDS` at most."""
        self._closed.set()
        if self._thread.is_alive():
            with suppress(RedisError):
                self._redis.publish(self._channel, b"")  # a word to itself ends its wait
            self._thread.join(timeout=2 * LISTEN_SECONDS)

    def _run(self) -> None:
        backoff = Backoff(first_seconds=0.1, most_seconds=2.0)
        while not self._closed.is_set():
            try:
                self._listen(backoff)
            except RedisError:
                self.listens.clear()
                self._closed.wait(backoff.next_seconds())

    def _listen(self, backoff: Backoff) -> None:
        with self._redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(self._channel, BELL)
            while not self._closed.is_set():
                message = pubsub.get_message(timeout=LISTEN_SECONDS)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    backoff.reset()
                    self.listens.set()
                elif as_text(message["channel"]) == BELL:
                    self._closed.wait(IDLE_FIRST_SECONDS)
                    self._tell(Ring())
                elif (command := _read(message["data"])) is not None:
                    self._tell(command)


def _read(data: bytes) -> Command | None:
    """Return the command in a message; None for what is none."""
    try:
        said = json.loads(data)
        return Command(str(said["command"]), str(said.get("job_id", "")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
