"""What a worker is told while it draws: that a job came to some queue, and what operators say by RQ's own commands.

Both come by publish and subscribe, so what is said while the worker is cut off is lost: it looks at the queues now and then in
any case, and an operator may ask again. RQ's commands are `rq.command.send_shutdown_command` and its like.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from redis import Redis
from redis.client import PubSub
from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.utils import as_text

from contract.bell import BELL
from workers.backoff import Backoff

SHUTDOWN = "shutdown"
STOPS = ("stop-job", "stop-execution")
"""Both end a job here: a job of ours never runs twice at once."""
LISTEN_SECONDS = 1.0
IDLE_FIRST_SECONDS = 0.02
"""So long does a worker that is drawing wait after the bell, so that one with nothing to do has the job."""


@dataclass(frozen=True)
class Command:
    """One command. `job_id`: the job that a stop is about."""

    name: str
    job_id: str = ""


@dataclass(frozen=True)
class Ring:
    """A job came to a queue that had been empty."""


class Ear:
    """Listens in a thread of its own, which tells `tell` what it hears. Waiting there costs the engine nothing."""

    def __init__(self, redis: Redis, worker_name: str, tell: Callable[[Command | Ring], None]) -> None:
        self._redis, self._tell = redis, tell
        self._channel = PUBSUB_CHANNEL_TEMPLATE % worker_name
        self._closed = threading.Event()
        self._log = structlog.get_logger(__name__)
        self._thread = threading.Thread(target=self._run, name="ear", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Listen no more; the thread ends by itself, within `LISTEN_SECONDS`."""
        self._closed.set()

    def _run(self) -> None:
        backoff, is_deaf = Backoff(first_seconds=0.1, most_seconds=2.0), False
        while not self._closed.is_set():
            try:
                with self._redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]
                    pubsub.subscribe(self._channel, BELL)
                    pubsub.get_message(timeout=LISTEN_SECONDS)
                    backoff.reset()
                    is_deaf = False
                    self._listen(pubsub)
            except Exception as error:
                # Whatever it is, the worker works on without: it looks now and then. When it closes, its connections go too.
                if not (is_deaf or self._closed.is_set()):
                    self._log.warning("the worker hears neither bell nor commands", reason=f"{type(error).__name__}: {error}")
                is_deaf = True
                self._closed.wait(backoff.next_seconds())

    def _listen(self, pubsub: PubSub) -> None:
        """Pass on commands at once, and one ring for all those of `IDLE_FIRST_SECONDS`."""
        ring_at = math.inf
        while not self._closed.is_set():
            message = pubsub.get_message(timeout=max(0.0, min(LISTEN_SECONDS, ring_at - time.monotonic())))
            if message is not None and message["type"] == "message":
                if as_text(message["channel"]) == BELL:
                    ring_at = min(ring_at, time.monotonic() + IDLE_FIRST_SECONDS)
                elif (command := _read(message["data"])) is not None:
                    self._tell(command)
            if time.monotonic() >= ring_at:
                self._tell(Ring())
                ring_at = math.inf


def _read(data: bytes) -> Command | None:
    """Return the command in a message; None for what is none."""
    try:
        said = json.loads(data)
        return Command(str(said["command"]), str(said.get("job_id", "")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
