"""What operators say to one worker through RQ's own commands: `rq.command.send_shutdown_command` and its like.

RQ sends them by publish and subscribe, so a command given while the worker is cut off is lost; asking again is harmless.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError
from rq.command import PUBSUB_CHANNEL_TEMPLATE

SHUTDOWN = "shutdown"
STOPS = ("stop-job", "stop-execution")
"""Both end a job here: a job of ours never runs twice at once."""
MAX_AT_ONCE = 100


@dataclass(frozen=True)
class Command:
    """One command. `job_id`: the job that a stop is about."""

    name: str
    job_id: str = ""


class Commands:
    """Listens on a worker's channel. One thread owns it."""

    def __init__(self, redis: Redis, worker_name: str) -> None:
        self._redis = redis
        self._channel = PUBSUB_CHANNEL_TEMPLATE % worker_name
        self._pubsub: PubSub | None = None

    def heard(self) -> list[Command]:
        """Return what was said since the last call, without waiting. Raises RedisError; the next call listens anew."""
        try:
            if self._pubsub is None:
                self._pubsub = self._redis.pubsub()  # type: ignore[no-untyped-call]
                self._pubsub.subscribe(self._channel)
            found = []
            for _ in range(MAX_AT_ONCE):
                message = self._pubsub.get_message(timeout=0)
                if message is None:
                    break
                if message["type"] == "message":
                    found.append(message["data"])
        except RedisError:
            self.close()
            raise
        return [command for data in found if (command := _read(data)) is not None]

    def close(self) -> None:
        """Listen no more."""
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None


def _read(data: bytes) -> Command | None:
    """Return the command in a message; None for what is none."""
    try:
        said = json.loads(data)
        return Command(str(said["command"]), str(said.get("job_id", "")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
