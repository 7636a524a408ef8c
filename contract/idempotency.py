"""Requests that are done once however often they are sent: which job each belongs to, and what was replied.

A job's id is chosen before it is queued and bound to the request here. Whoever repeats the request, at whatever moment and to
whichever process, comes to the same id, and queueing a job twice under one id makes one job: so there is nothing to lock, and a
process that dies in between leaves nothing to clean up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from uuid import uuid4

from redis import Redis
from rq.utils import as_text

from contract.connection import outages

KEPT_SECONDS = 24 * 3600
RETRY_SECONDS = 15 * 60
"""How long a repeated request of a client without keys of its own is known again: longer than such a client waits."""
MAX_REPLY_BYTES = 2**18


@dataclass(frozen=True)
class Reply:
    """What was replied: enough to say it once more."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Claim:
    """A request that came under an idempotency key. `fingerprint`: of what it asked for. `reply`: None while there is none."""

    fingerprint: str
    job_id: str
    reply: Reply | None


class Claims:
    """Keeps them in Redis, each API key's apart. Every method raises QueueDown when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def read(self, api_key: str, key: str) -> Claim | None:
        """Return what is known under an idempotency key."""
        with outages():
            return _claim(self._redis.hmget(_claim_key(api_key, key), "fingerprint", "job", "reply"))

    def take(self, api_key: str, key: str, fingerprint: str) -> Claim:
        """Bind a key to a request and a new job's id, unless it is bound already; return what it is bound to."""
        name = _claim_key(api_key, key)
        with outages(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(name, "fingerprint", fingerprint)
            pipe.hsetnx(name, "job", uuid4().hex)
            pipe.expire(name, KEPT_SECONDS, nx=True)
            pipe.hmget(name, "fingerprint", "job", "reply")
            claim = _claim(pipe.execute()[-1])
        assert claim is not None  # the transaction has just written it
        return claim

    def keep(self, api_key: str, key: str, reply: Reply) -> None:
        """Note what was replied, unless that is long or somebody has noted it before."""
        if len(reply.body) > MAX_REPLY_BYTES:
            return
        text = json.dumps({"status": reply.status, "headers": dict(reply.headers), "body": reply.body})
        name = _claim_key(api_key, key)
        with outages(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(name, "reply", text)
            pipe.expire(name, KEPT_SECONDS, nx=True)
            pipe.execute()

    def begin(self, api_key: str, fingerprint: str) -> str:
        """Return a new job's id for a request without a key, noted in case the same request comes again as a retry."""
        job_id, name = uuid4().hex, _retry_key(api_key, fingerprint)
        with outages(), self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(name, job_id)
            pipe.ltrim(name, 0, 31)
            pipe.expire(name, RETRY_SECONDS)
            pipe.execute()
        return job_id

    def begun(self, api_key: str, fingerprint: str) -> str | None:
        """Return the job of such a request that has not been answered yet; of several, each in turn."""
        name = _retry_key(api_key, fingerprint)
        with outages():
            found = self._redis.lmove(name, name, "LEFT", "RIGHT")
        return None if found is None else as_text(cast("bytes", found))

    def answered(self, api_key: str, fingerprint: str, job_id: str) -> None:
        """Forget a request that was answered: the same one again is another one."""
        with outages():
            self._redis.lrem(_retry_key(api_key, fingerprint), 0, job_id)


def _claim_key(api_key: str, key: str) -> str:
    return f"unclip:idempotency:{api_key}:{hashlib.sha256(key.encode()).hexdigest()}"


def _retry_key(api_key: str, fingerprint: str) -> str:
    return f"unclip:retries:{api_key}:{fingerprint}"


def _claim(fields: object) -> Claim | None:
    fingerprint, job_id, reply = cast("list[bytes | None]", fields)
    if fingerprint is None or job_id is None:
        return None
    told = None if reply is None else Reply(**json.loads(reply))
    return Claim(fingerprint.decode(), job_id.decode(), told)
