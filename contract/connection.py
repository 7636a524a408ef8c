"""The connection to Redis or Valkey, and its outages as one typed error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry as ConnectionRetry

from contract.errors import QueueDown
from contract.settings import Settings


def connect(url: str, settings: Settings) -> Redis:
    """Return a client of the Redis or Valkey at `url`; connects on first use.

    Waits are short and nothing is retried behind the caller's back, so that an outage is a typed error within two seconds.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=settings.queue_connect_timeout_seconds,
        socket_timeout=settings.queue_reply_timeout_seconds,
        retry=ConnectionRetry(NoBackoff(), 0),
        # RESP 3 would bring nothing here but a longer handshake (maintenance notifications, which Valkey does not know).
        protocol=2,
    )


@contextmanager
def outages() -> Iterator[None]:
    """Turn whatever means "Redis cannot serve this now" into QueueDown."""
    try:
        yield
    except (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError, NoPermissionError) as error:
        raise QueueDown(f"{type(error).__name__}: {error}") from error
    except ResponseError as error:
        # The disk under Redis is full or broken: it refuses writes until that is mended.
        if str(error).startswith("MISCONF"):
            raise QueueDown(str(error)) from error
        raise
