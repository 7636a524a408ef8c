"""Addresses of pictures that open without a key for a while: an HMAC over the picture's id and the time when they close."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from redis import Redis

from contract.connection import outages
from contract.errors import QueueDown
from contract.settings import Settings
from service.offload import Offload

VALID_SECONDS = 3600
SECRET = "unclip:url-secret"
"""Where the API processes of one service share the secret that none was set for."""


class UrlSigner:
    """Signs ids, and knows its own signatures again."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def query(self, image_id: str) -> str:
        """Return what goes behind the address of a picture, good for VALID_SECONDS."""
        expires = str(int(self._clock()) + VALID_SECONDS)
        return f"expires={expires}&signature={self._signature(image_id, expires)}"

    def opens(self, image_id: str, expires: str, signature: str) -> bool:
        """True for an own signature of this id whose time is not over."""
        expected = self._signature(image_id, expires)
        is_own = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape"))
        # Only an own signature's time is a number that we wrote.
        return is_own and self._clock() < int(expires)

    def _signature(self, image_id: str, expires: str) -> str:
        message = f"{image_id}\n{expires}".encode("utf-8", "surrogateescape")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


class Signing:
    """The service's signer, loaded when it is first wanted."""

    def __init__(self, redis: Redis, settings: Settings, offload: Offload) -> None:
        self.redis = redis
        self.settings = settings
        self.offload = offload
        self._loaded: UrlSigner | None = None

    async def signer(self) -> UrlSigner:
        """Return it. Raises QueueDown when it is in a Redis that does not answer."""
        if self._loaded is None:
            self._loaded = await self.offload(QueueDown, load_signer, self.redis, self.settings)
        return self._loaded


def load_signer(redis: Redis, settings: Settings) -> UrlSigner:
    """Return the service's signer. Without a secret in the settings one is made, once, in Redis. Raises QueueDown."""
    if settings.url_secret is not None:
        return UrlSigner(settings.url_secret.get_secret_value().encode())
    with outages():
        redis.set(SECRET, secrets.token_hex(32), nx=True)
        found = redis.get(SECRET)
    assert isinstance(found, bytes)
    return UrlSigner(found)
