"""What wraps every request: its id and log line, the limits on its headers and body. Pure ASGI: nothing is buffered."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable

import anyio
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import BodyTooLarge, HeadersTooLarge, InternalError, shortened
from contract.trace import ORIGIN, TRACEPARENT, new_origin
from service.errors import CODE_STATE, BodyOverLimit, BodyTooSlow, error_response

REQUEST_ID_HEADER = "x-request-id"
MAX_LOGGED_CHARACTERS = 200
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH")
Replied = Callable[[str, str, int, float, str | None], None]
# A caller's own id is kept when it can do no harm in a header or a log line.
_WITH_PICTURES = re.compile(r"/v1/(uploads|jobs|latents|moderations|images/(edits|variations))")
INLINE_FACTOR = 8
FORM_FILES = 2
"""A picture and its mask."""
_CALLER_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

log = structlog.get_logger("service")


class RequestContext:
    """Gives each request an id, answers faults nobody foresaw, and writes one log line per reply.

    replied: is told of every reply its method, route, status, seconds, and the error's code if it is one.
    It stands outside everything else of ours: whatever happens inside, the caller gets the error shape and the id, and the
    traceback goes to the log under that id.
    """

    def __init__(self, app: ASGIApp, replied: Replied = lambda *_: None) -> None:
        self.app = app
        self.replied = replied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        origin = new_origin(request_id, Headers(scope=scope).get(TRACEPARENT))
        ORIGIN.set(origin)
        about = {"method": scope["method"], "path": shortened(scope["path"], MAX_LOGGED_CHARACTERS)}
        began, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(**origin.as_log()):
            try:
                await self.app(scope, receive, send_with_id)
            except Exception:
                log.exception("request failed", **about)
                if status:
                    raise  # The reply has begun: only the server can still break it off.
                await error_response(InternalError())(scope, receive, send_with_id)
            seconds = time.perf_counter() - began
            code = scope.get("state", {}).get(CODE_STATE)
            log.info("request", **about, status=status, seconds=round(seconds, 4), **({"code": code} if code else {}))
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            self.replied(method, getattr(scope.get("route"), "path", "other"), status, seconds, code)


class HeaderLimit:
    """Refuses a header section over `max_bytes`. The server's own limit holds only for one that comes in pieces."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and _header_bytes(scope) > self.max_bytes:
            await error_response(HeadersTooLarge(self.max_bytes))(scope, receive, send)
            return
        await self.app(scope, receive, send)


class HeadRequests:
    """Answers HEAD wherever GET is answered: the same status and headers, and no body, nor the work of making one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async with anyio.create_task_group() as group:

            async def send_head(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body", "body": b""})
                    group.cancel_scope.cancel()

            await self.app({**scope, "method": "GET"}, receive, send_head)


class BodyLimit:
    """Refuses a body over the limit: at once when its length is declared, and while it arrives when it comes in chunks.

    `max_bytes` goes for all but those paths where pictures come in, of `upload_bytes` each. A body of which nothing comes for
    `patience_seconds` is given up.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, upload_bytes: int, patience_seconds: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.upload_bytes = upload_bytes
        self.patience_seconds = patience_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit_bytes = self._limit_bytes(scope["path"], headers.get("content-type", ""))
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit_bytes:
            await error_response(BodyTooLarge(limit_bytes))(scope, receive, send)
            return
        received, is_whole = 0, False

        async def receive_within_limit() -> Message:
            nonlocal received, is_whole
            try:
                # After the body's end this waits for the caller to hang up, which may take as long as it likes.
                async with asyncio.timeout(None if is_whole else self.patience_seconds):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlow(self.patience_seconds) from None
            is_whole = is_whole or not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > limit_bytes:
                raise BodyOverLimit(limit_bytes)
            return message

        await self.app(scope, receive_within_limit, send)

    def _limit_bytes(self, path: str, content_type: str) -> int:
        if not _WITH_PICTURES.fullmatch(path):
            return self.max_bytes
        # A form is read piece by piece, JSON all at once: a data URL of many megabytes would hold up everybody else.
        if "json" in content_type.lower():
            return INLINE_FACTOR * self.max_bytes
        return FORM_FILES * self.upload_bytes + self.max_bytes


def _header_bytes(scope: Scope) -> int:
    """Return the size of a header section, with its request line, colons and line ends."""
    line = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") + 16
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _request_id(scope: Scope) -> str:
    offered = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return offered if _CALLER_REQUEST_ID.fullmatch(offered) else f"req_{uuid.uuid4().hex}"
