"""Doing a request once: `Idempotency-Key`, and the retries that OpenAI's clients send by themselves.

Such a client repeats a request that got no answer, without a key but with its count of retries; the repeated one is taken to
the job that the first has queued. A handler asks `once` three things in order: `replay` before anything else, `job_id` for the
job that it queues, and `done` with its reply, or `answered` where a reply made anew of the same job is the better one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import structlog
from fastapi import Depends, Header, Request, Response
from starlette.datastructures import UploadFile

from contract.errors import IdempotencyKeyReused, InvalidParameter, QueueDown
from contract.idempotency import Claims, Reply
from service.callers import caller_let_in
from service.forms import bounded_form
from service.offload import Offload
from service.resources import resources_of

log = structlog.get_logger("service")

MAX_KEY_CHARACTERS = 255
KEPT_HEADERS = ("location", "etag")
REPLAYED = {"Idempotent-Replayed": "true"}

KEY_EXAMPLES = ["order-1234"]
KEY_DESCRIPTION = (
    "Of your choosing, 1 to 255 visible ASCII characters. However often a request is sent under one key within "
    "24 hours, there is one job, and the first reply is given again. Another request under the key is refused with 422."
)
IdempotencyKey = Annotated[str | None, Header(description=KEY_DESCRIPTION, examples=KEY_EXAMPLES)]
KEY_HEADER = "idempotency-key"
KEY_DECLARED: Mapping[str, Any] = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "schema": {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "description": KEY_DESCRIPTION,
        "examples": KEY_EXAMPLES,
        "title": "Idempotency-Key",
    },
    "description": KEY_DESCRIPTION,
}
"""What FastAPI makes of `IdempotencyKey`, for the routes that are asked most: reading the header themselves costs them less."""
RETRY_COUNT = "x-stainless-retry-count"


class Once:
    """One request, in view of those that came before. Raises QueueDown where its memory does not answer."""

    def __init__(self, claims: Claims, offload: Offload, api_key: str, fingerprint: str) -> None:
        self.claims = claims
        self.offload = offload
        self.api_key = api_key
        self.fingerprint = fingerprint
        self.key: str | None = None
        self.retry: int | None = None
        self._begun: str | None = None

    def if_first(self, is_room: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]] | None:
        """Return `is_room` for a request that cannot have a job yet; None for one whose job may wait already."""
        return None if self.key is not None or self.retry else is_room

    async def replay(self) -> Response | None:
        """Return the reply that this request got before; None when it is to be done.

        Raises IdempotencyKeyReused when its key came with another request.
        """
        if self.key is None:
            return None
        claim = await self.offload(QueueDown, self.claims.read, self.api_key, self.key)
        if claim is None:
            return None
        if claim.fingerprint != self.fingerprint:
            raise IdempotencyKeyReused
        if claim.reply is None:
            return None
        headers = {**claim.reply.headers, **REPLAYED}
        return Response(claim.reply.body, claim.reply.status, headers, media_type="application/json")

    async def job_id(self) -> str | None:
        """Return the id under which this request's job is to be queued, if it is not yet; None: any.

        Raises IdempotencyKeyReused when the key was taken by another request in the meantime.
        """
        if self.key is not None:
            claim = await self.offload(QueueDown, self.claims.take, self.api_key, self.key, self.fingerprint)
            if claim.fingerprint != self.fingerprint:
                raise IdempotencyKeyReused
            return claim.job_id
        if self.retry is not None:
            if self.retry:
                self._begun = await self.offload(QueueDown, self.claims.begun, self.api_key, self.fingerprint)
            if self._begun is None:
                self._begun = await self.offload(QueueDown, self.claims.begin, self.api_key, self.fingerprint)
        return self._begun

    async def done(self, response: Response) -> Response:
        """Note what is replied, for those who come under the same key; return it."""
        if self.key is not None:
            headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
            reply = Reply(response.status_code, headers, bytes(response.body).decode())
            await self._note(self.claims.keep, self.api_key, self.key, reply)
        await self.answered()
        return response

    async def answered(self) -> None:
        """Note that the request was answered, but not how: whoever comes under the same key is told anew, of the same job."""
        if self._begun is not None:
            await self._note(self.claims.answered, self.api_key, self.fingerprint, self._begun)

    async def _note(self, call: Callable[..., None], *about: object) -> None:
        """Keep a note if it can be kept: the job is queued, and an outage of the notes is no reason to tell otherwise."""
        try:
            await self.offload(QueueDown, call, *about)
        except QueueDown as outage:
            log.warning("a reply could not be noted", reason=outage.reason)


async def once(request: Request, idempotency_key: IdempotencyKey = None) -> Once:
    """Return what a handler asks. Raises InvalidParameter for a key that is none."""
    here, caller = resources_of(request), await caller_let_in(request)
    found = Once(here.claims, here.offload, caller.key_id, "")
    if idempotency_key is not None:
        is_visible = idempotency_key.isascii() and idempotency_key.isprintable()
        if not is_visible or not 0 < len(idempotency_key) <= MAX_KEY_CHARACTERS:
            raise InvalidParameter(
                "Idempotency-Key", f"Idempotency-Key should be 1 to {MAX_KEY_CHARACTERS} visible ASCII characters"
            )
        found.key = idempotency_key
    elif (count := request.headers.get(RETRY_COUNT, "")[:4]).isdecimal():
        found.retry = int(count)
    if found.key is not None or found.retry is not None:
        found.fingerprint = await fingerprint(request)
    return found


async def fingerprint(request: Request) -> str:
    """Return a digest of what a request asks for. A multipart body's boundary changes with each retry: only its parts count."""
    digest = hashlib.sha256(f"{request.method} {request.url.path} {request.url.query}".encode())
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        for name, value in (await bounded_form(request)).multi_items():
            content = value.encode() if isinstance(value, str) else await _content(value)
            digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    else:
        digest.update(b"\0" + await request.body())
    return digest.hexdigest()


async def _content(file: UploadFile) -> bytes:
    await file.seek(0)
    content = await file.read()
    await file.seek(0)
    return f"{file.filename}\0{file.content_type}\0".encode() + content


OnceOnly = Annotated[Once, Depends(once)]
