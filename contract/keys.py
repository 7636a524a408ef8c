"""API keys: made once, shown once, kept as hashes in the queue's Redis, where every API process reads them at each request.

A token is `uk_<id>_<secret>`: the id finds the key's record and owns whatever is made under it; the secret is 256 random
bits, so that a plain SHA-256 of it can be kept. A rotated key has two secrets for a while, under the same id.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis import Redis
from redis.exceptions import WatchError

from contract.connection import outages
from contract.errors import KeyNotFound

KEYS = "unclip:keys"
"""Hash in Redis: key id → record. A revoked key stays, so that revoking the last one does not open the service."""
MAX_NAME_CHARACTERS = 64

Scope = Literal["generate", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a key may do: start and change jobs; read them; see the metrics of the whole service."""
DEFAULT_SCOPES: tuple[Scope, ...] = ("generate", "read")

_TOKEN = re.compile(r"uk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(b"").hexdigest()


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Secret(_Frozen):
    """One secret of a key: its SHA-256, and when it stops to open anything (None: when the key is revoked)."""

    sha256: str
    until: datetime | None = None


class ApiKey(_Frozen):
    """A key as it is kept.

    `rate`: how often it may start and change jobs, `read_rate`: how often it may read, both in words such as `60/minute` or
    `60/minute; 1000/day`, None for the settings' own. `max_jobs`: how many of its jobs may be unfinished at once.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    secrets: tuple[Secret, ...]
    created_at: datetime
    revoked_at: datetime | None = None
    rate: str | None = None
    read_rate: str | None = None
    max_jobs: Annotated[int, Field(ge=1)] | None = None

    def opens(self, secret: str, now: datetime) -> bool:
        """True when `secret` is one of the key's and still in force. Takes as long for a wrong one as for a right one."""
        given = hashlib.sha256(secret.encode()).hexdigest()
        found = False
        for mine in self.secrets:
            is_in_force = self.revoked_at is None and (mine.until is None or now < mine.until)
            found |= hmac.compare_digest(given, mine.sha256) and is_in_force
        return found


@dataclass(frozen=True)
class NewKey:
    """A key that was just made, with the token to hand to its owner: nobody can read it again."""

    key: ApiKey
    token: str


class KeyRing:
    """The API keys in Redis. Every method raises QueueDown when Redis does not answer."""

    def __init__(self, redis: Redis, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._redis = redis
        self._clock = clock

    def create(
        self,
        name: str,
        scopes: Sequence[Scope] = DEFAULT_SCOPES,
        *,
        rate: str | None = None,
        read_rate: str | None = None,
        max_jobs: int | None = None,
    ) -> NewKey:
        """Make a key. Raises pydantic.ValidationError for a scope that does not exist."""
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = ApiKey(
            id=key_id,
            name=name[:MAX_NAME_CHARACTERS],
            scopes=tuple(dict.fromkeys(scopes)),
            secrets=(_kept(secret),),
            created_at=self._clock(),
            rate=rate,
            read_rate=read_rate,
            max_jobs=max_jobs,
        )
        with outages():
            self._redis.hset(KEYS, key_id, key.model_dump_json())
        return NewKey(key, _token(key_id, secret))

    def list(self) -> list[ApiKey]:
        """Return every key, the revoked among them, oldest first."""
        with outages():
            kept = [_read(record) for record in self._redis.hvals(KEYS)]
        return sorted((key for key in kept if key is not None), key=lambda key: key.created_at)

    def revoke(self, key_id: str) -> ApiKey:
        """End a key at once, with every secret it has. Raises KeyNotFound."""
        now = self._clock()
        return self._change(key_id, lambda key: key.model_copy(update={"revoked_at": key.revoked_at or now}))

    def rotate(self, key_id: str, overlap: timedelta) -> NewKey:
        """Give a key another secret; the ones it has stay in force for `overlap`. Raises KeyNotFound, for a revoked key too."""
        secret, now = secrets.token_urlsafe(32), self._clock()

        def rotated(key: ApiKey) -> ApiKey:
            if key.revoked_at is not None:
                raise KeyNotFound(key_id)
            kept = [_ending(mine, now + overlap) for mine in key.secrets if mine.until is None or mine.until > now]
            return key.model_copy(update={"secrets": (_kept(secret), *kept)})

        return NewKey(self._change(key_id, rotated), _token(key_id, secret))

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key by its id, a revoked one too; None when there is none."""
        with outages():
            return _read(self._redis.hget(KEYS, key_id))

    def find(self, token: str) -> ApiKey | None:
        """Return the key that `token` opens; None for a wrong, revoked or outrun one."""
        match = _TOKEN.fullmatch(token)
        key_id, secret = match.groups() if match else ("", "")
        key = self.get(key_id)
        # A key that does not exist is compared too: the time taken tells nothing about ids.
        kept = key or ApiKey(id="", name="", scopes=(), secrets=(Secret(sha256=_NOBODY),), created_at=self._clock())
        return key if kept.opens(secret, self._clock()) and match else None

    def is_empty(self) -> bool:
        """True when no key was ever made here."""
        with outages():
            return not self._redis.hlen(KEYS)

    def _change(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        with outages(), self._redis.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(KEYS)  # type: ignore[no-untyped-call]
                    key = _read(pipe.hget(KEYS, key_id))
                    if key is None:
                        raise KeyNotFound(key_id)
                    changed = change(key)
                    pipe.multi()
                    pipe.hset(KEYS, key_id, changed.model_dump_json())
                    pipe.execute()
                    return changed
                except WatchError:
                    continue


def token_id(token: str) -> str:
    """Return what a log may say of a token: the id in it, or nothing."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else ""


def _token(key_id: str, secret: str) -> str:
    return f"uk_{key_id}_{secret}"


def _kept(secret: str) -> Secret:
    return Secret(sha256=hashlib.sha256(secret.encode()).hexdigest())


def _ending(secret: Secret, until: datetime) -> Secret:
    return Secret(sha256=secret.sha256, until=until if secret.until is None else min(until, secret.until))


def _read(record: object) -> ApiKey | None:
    if not isinstance(record, bytes | str):
        return None
    try:
        return ApiKey.model_validate_json(record)
    except ValidationError:
        return None
