"""Webhooks: who is to be told what of whose jobs, and with which secrets the telling is signed.

An endpoint belongs to an API key and hears of all its jobs; a job may bring one of its own beside them. Secrets are kept as
they are: a signature cannot be made with a hash.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, cast, get_args
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from redis import Redis
from rq.utils import as_text

from contract.connection import outages
from contract.errors import InvalidParameter, WebhookNotFound
from contract.states import JobState

EventType = Literal["job.started", "job.succeeded", "job.failed", "job.canceled"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
ENDS: tuple[EventType, ...] = EVENT_TYPES[1:]
"""What a job's own webhook hears of when it names nothing."""
TYPE_OF_STATE = dict(zip((JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED), EVENT_TYPES, strict=True))
MAX_ENDPOINTS = 20
MAX_URL_CHARACTERS, MAX_NAME_CHARACTERS = 2048, 100
OLD_SECRET_SECONDS = 24 * 3600
"""How long a rotated secret goes on signing beside the new one."""
JOB_HOOK_MARGIN_SECONDS = 3 * 24 * 3600
"""How long a job's own webhook outlives the job's retention: it may wait for days, and deliveries are tried for one."""


def _signing_secret(text: str) -> str:
    """Accept what Standard Webhooks asks for: `whsec_` and the base64 of 24 to 64 bytes."""
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not text.startswith("whsec_") or not 24 <= size <= 64:
        raise ValueError("should be whsec_ and the base64 of 24 to 64 bytes")
    return text


SigningSecret = Annotated[str, AfterValidator(_signing_secret)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Endpoint(_Frozen):
    """Where events go. `retiring`: a rotated secret and when it stops to sign. `disabled`: why nothing is sent any more.

    `job_id`: the one job that it hears of; None for all of its API key's. Times are Unix seconds.
    """

    id: str
    key: str
    url: str
    event_types: tuple[EventType, ...]
    secret: str = Field(repr=False)
    name: str = ""
    job_id: str | None = None
    retiring: tuple[str, float] | None = Field(default=None, repr=False)
    disabled: str | None = None
    created_at: int
    updated_at: int

    def secrets_at(self, now: float) -> Sequence[str]:
        """Return the secrets that sign at `now`, the newest first."""
        return (self.secret, self.retiring[0]) if self.retiring and now < self.retiring[1] else (self.secret,)


def new_secret() -> str:
    """Return a signing secret of 32 random bytes."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


class WebhookBook:
    """Keeps endpoints in Redis. Every method raises QueueDown when Redis does not answer."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock

    def create(self, key: str, url: str, event_types: Sequence[EventType], name: str = "") -> Endpoint:
        """Note a new endpoint of an API key, with a secret of its own. Raises InvalidParameter when it has many already."""
        if len(self.of_key(key)) >= MAX_ENDPOINTS:
            raise InvalidParameter("url", f"there are {MAX_ENDPOINTS} webhook endpoints already; delete one first")
        now = int(self._clock())
        endpoint = Endpoint(
            id=f"we_{uuid4().hex}",
            key=key,
            url=url,
            event_types=tuple(event_types),
            secret=new_secret(),
            name=name,
            created_at=now,
            updated_at=now,
        )
        self._put(endpoint)
        return endpoint

    def attach(self, job_id: str, endpoint: Endpoint, ttl_seconds: int) -> None:
        """Note the webhook that a job brings, before the job is queued, and for so long."""
        with outages():
            self._redis.set(_job_key(job_id), endpoint.model_dump_json(), ex=ttl_seconds, nx=True)

    def of_job(self, job_id: str) -> Endpoint | None:
        """Return the webhook that a job brought."""
        with outages():
            return _read(self._redis.get(_job_key(job_id)))

    def of_key(self, key: str) -> Sequence[Endpoint]:
        """Return an API key's endpoints, the newest first."""
        with outages():
            found = [_read(entry) for entry in cast("dict[bytes, bytes]", self._redis.hgetall(_endpoints_key(key))).values()]
        return sorted((each for each in found if each), key=lambda each: (each.created_at, each.id), reverse=True)

    def get(self, key: str, endpoint_id: str) -> Endpoint:
        """Return one endpoint. Raises WebhookNotFound for one that is not the API key's."""
        with outages():
            found = _read(self._redis.hget(_endpoints_key(key), endpoint_id))
        if found is None:
            raise WebhookNotFound(endpoint_id)
        return found

    def update(self, key: str, endpoint_id: str, **changes: object) -> Endpoint:
        """Change an endpoint, which is then enabled again. Raises WebhookNotFound."""
        now = int(self._clock())
        endpoint = self.get(key, endpoint_id).model_copy(update={"disabled": None, **changes, "updated_at": now})
        self._put(endpoint)
        return endpoint

    def rotate(self, key: str, endpoint_id: str, keep_old: bool) -> Endpoint:
        """Give an endpoint a new secret; the old one signs on for a day if it is to be kept. Raises WebhookNotFound."""
        before = self.get(key, endpoint_id)
        retiring = (before.secret, self._clock() + OLD_SECRET_SECONDS) if keep_old else None
        return self.update(key, endpoint_id, secret=new_secret(), retiring=retiring, disabled=before.disabled)

    def delete(self, key: str, endpoint_id: str) -> None:
        """Forget an endpoint. Raises WebhookNotFound."""
        with outages():
            if not self._redis.hdel(_endpoints_key(key), endpoint_id):
                raise WebhookNotFound(endpoint_id)

    def wanting(self, key: str, job_id: str, event_type: EventType) -> Sequence[Endpoint]:
        """Return everybody who is to be told of an event of a job."""
        own = self.of_job(job_id)
        everybody = [*self.of_key(key), *([own] if own else [])]
        return [each for each in everybody if event_type in each.event_types and each.disabled is None]

    def current(self, endpoint: Endpoint) -> Endpoint | None:
        """Return an endpoint as it is now; None when it was deleted."""
        if endpoint.job_id is not None:
            return self.of_job(endpoint.job_id)
        try:
            return self.get(endpoint.key, endpoint.id)
        except WebhookNotFound:
            return None

    def disable(self, endpoint: Endpoint, reason: str) -> None:
        """Send nothing more to an endpoint until it is updated; a job's own is forgotten."""
        if endpoint.job_id is not None:
            with outages():
                self._redis.delete(_job_key(endpoint.job_id))
            return
        current = self.current(endpoint)
        if current is not None:
            self._put(current.model_copy(update={"disabled": reason}))

    def _put(self, endpoint: Endpoint) -> None:
        with outages():
            self._redis.hset(_endpoints_key(endpoint.key), endpoint.id, endpoint.model_dump_json())


def _endpoints_key(key: str) -> str:
    return f"unclip:webhooks:{key}"


def _job_key(job_id: str) -> str:
    return f"unclip:webhook:{job_id}"


def _read(entry: object) -> Endpoint | None:
    try:
        return None if entry is None else Endpoint.model_validate_json(as_text(cast("bytes", entry)))
    except ValidationError:
        return None
