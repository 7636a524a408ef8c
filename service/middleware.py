"""What wraps every request: its id and log line, and the limit on its body. Pure ASGI: nothing is buffered on the way."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import BodyTooLarge, InternalError, shortened
from service.errors import BodyOverLimit, error_response

REQUEST_ID_HEADER = "x-request-id"
MAX_LOGGED_CHARACTERS = 200
# A caller's own id is kept when it can do no harm in a header or a log line.
_WITH_PICTURES = re.compile(r"/v1/(uploads|jobs|latents|moderations|images/(edits|variations))")
INLINE_FACTOR = 8
FORM_FILES = 2
"""A picture and its mask."""
_CALLER_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

log = structlog.get_logger("service")


class RequestContext:
    """Gives each request an id, answers faults nobody foresaw, and writes one log line per reply.

    It stands outside everything else of ours: whatever happens inside, the caller gets the error shape and the id, and the
    traceback goes to the log under that id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        about = {"method": scope["method"], "path": shortened(scope["path"], MAX_LOGGED_CHARACTERS)}
        began, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except Exception:
                log.exception("request failed", **about)
                if status:
                    raise  # The reply has begun: only the server can still break it off.
                await error_response(InternalError())(scope, receive, send_with_id)
            seconds = round(time.perf_counter() - began, 4)
            log.info("request", **about, status=status, seconds=seconds)


class BodyLimit:
    """Refuses a body over the limit: at once when its length is declared, and while it arrives when it comes in chunks.

    `max_bytes` goes for all but those paths where pictures come in, of `upload_bytes` each.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, upload_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.upload_bytes = upload_bytes

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
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
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


def _request_id(scope: Scope) -> str:
    offered = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return offered if _CALLER_REQUEST_ID.fullmatch(offered) else f"req_{uuid.uuid4().hex}"
