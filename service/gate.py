"""The gate: from a token and what is asked to a caller, or a typed refusal. Looks each key up at each request, so that a new
one works and a revoked one stops at once, in every API process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import lru_cache

from limits import RateLimitItem, parse_many
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import Redis

from contract.connection import outages
from contract.errors import InvalidKey, QueueDown, RateLimited, ScopeMissing
from contract.keys import ApiKey, KeyRing, Scope
from contract.settings import Settings
from service.callers import LOCAL, Principal
from service.offload import Offload

OPEN_FOR_SECONDS = 1.0
"""How long it is believed that no key was ever made: what the first key takes, at most, to close the service."""


class Gate:
    """Lets callers in. Where keys are `auto` and none was ever made, everybody is the local caller."""

    def __init__(self, redis: Redis, settings: Settings, offload: Offload, clock: Callable[[], float] = time.monotonic) -> None:
        self.keys = KeyRing(redis)
        self.mode = settings.api_keys
        self.offload = offload
        self.clock = clock
        self._rates = {"read": settings.key_read_rate, "generate": settings.key_rate}
        # Connects on its own otherwise, with waits of its own.
        storage = RedisStorage(settings.queue_url, connection_pool=redis.connection_pool, key_prefix="unclip:rate")
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._seen_open_at: float | None = None

    async def admit(self, token: str | None, scope: Scope) -> Principal:
        """Return the caller of a request that needs `scope`.

        Raises InvalidKey, ScopeMissing, RateLimited, or QueueDown when nobody can say.
        """
        if self.mode == "off" or (self.mode == "auto" and self._was_open_just_now()):
            return LOCAL
        return await self.offload(QueueDown, self._admit, token, scope)

    def _admit(self, token: str | None, scope: Scope) -> Principal:
        if self.mode == "auto" and self._is_open():
            return LOCAL
        key = self.keys.find(token) if token else None
        if key is None:
            raise InvalidKey
        if scope not in key.scopes:
            raise ScopeMissing(scope, key.scopes)
        self._count(key, scope)
        return Principal(key.id, frozenset(key.scopes))

    def _was_open_just_now(self) -> bool:
        return self._seen_open_at is not None and self.clock() - self._seen_open_at < OPEN_FOR_SECONDS

    def _is_open(self) -> bool:
        """True while no key was ever made. A queue that does not answer cannot have got one since it was last asked."""
        try:
            self._seen_open_at = self.clock() if self.keys.is_empty() else None
        except QueueDown:
            if self._seen_open_at is None:
                raise
        return self._seen_open_at is not None

    def _count(self, key: ApiKey, scope: Scope) -> None:
        """Count one use of a key. Raises RateLimited when that is one too many."""
        if scope == "admin":
            return
        rate = (key.read_rate if scope == "read" else key.rate) or self._rates[scope]
        for limit in _limits(rate) if rate else ():
            with outages():
                if not self._limiter.hit(limit, key.id, scope):
                    reset_at = self._limiter.get_window_stats(limit, key.id, scope).reset_time
                    raise RateLimited(str(limit), max(1, math.ceil(reset_at - time.time())))


@lru_cache(maxsize=256)
def _limits(rate: str) -> tuple[RateLimitItem, ...]:
    return tuple(parse_many(rate))
