"""API keys at the door: pure ASGI, before anything reads the body, so that strangers cannot make the service read one."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import UnclipError
from contract.keys import Scope as KeyScope
from service.callers import CALLER_STATE
from service.errors import error_response
from service.gate import Gate

METRICS_PATH = "/metrics"
_GUARDED = re.compile(rf"/v1(/.*)?|{METRICS_PATH}", re.DOTALL)
# A picture's address can be signed instead: then its handler decides.
_SIGNABLE = re.compile(r"/v1/images/[^/]+")
_READING = ("GET", "HEAD")


class Authentication:
    """Finds the caller of every request below /v1 and of the metrics; answers for those that may not in."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app = app
        self.gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or not is_guarded(scope["path"]):
            await self.app(scope, receive, send)
            return
        token = bearer_token(Headers(scope=scope))
        caller = None
        if token is not None or not _says_it_is_signed(scope):
            try:
                caller = await self.gate.admit(token, scope_needed(scope["method"], scope["path"]))
            except UnclipError as error:
                await error_response(error)(scope, receive, send)
                return
        scope.setdefault("state", {})[CALLER_STATE] = caller
        await self.app(scope, receive, send)


def is_guarded(path: str) -> bool:
    """True for a path at which an API key is looked for."""
    return _GUARDED.fullmatch(path) is not None


def bearer_token(headers: Headers) -> str | None:
    """Return the token of a request, or None."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def scope_needed(method: str, path: str) -> KeyScope:
    """Return what a key must be allowed for a request."""
    if path == METRICS_PATH:
        return "admin"
    return "read" if method in _READING else "generate"


def _says_it_is_signed(scope: Scope) -> bool:
    is_signable = scope["method"] in _READING and _SIGNABLE.fullmatch(scope["path"]) is not None
    return is_signable and b"signature=" in scope["query_string"]
