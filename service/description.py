"""`/openapi.json`: the description of the API, built and encoded once, away from the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.jobs.etags import is_among

KEY_SCHEME = "API key"
KEYS = {
    "type": "http",
    "description": "`Authorization: Bearer uk_…`, from `unclip keys create`. Not needed on a service where no key was made.",
    "scheme": "bearer",
}


@dataclass(frozen=True)
class Document:
    """The bytes of a JSON document, and their tag."""

    body: bytes
    etag: str

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Document:
        """Encode it."""
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


class Description:
    """Makes the document when it is first asked for: most processes are never asked, and building it takes half a second."""

    def __init__(self, build: Callable[[], Mapping[str, Any]]) -> None:
        self._build = build
        self._document: Document | None = None
        self._lock = asyncio.Lock()

    async def document(self) -> Document:
        """Return the document. It is built once, on a thread, however many ask at the same time."""
        async with self._lock:
            if self._document is None:
                self._document = await anyio.to_thread.run_sync(lambda: Document.of(self._build()))
            return self._document

    async def reply(self, request: Request) -> Response:
        """Give the document, or 304 to whoever has it."""
        document = await self.document()
        headers = {"ETag": document.etag, "Cache-Control": "no-cache"}
        if is_among(document.etag, request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        return Response(document.body, media_type="application/json", headers=headers)


def describe_keys(app: FastAPI, is_guarded: Callable[[str], bool]) -> None:
    """Let the OpenAPI document say that the paths which are guarded ask for an API key.

    A dependency on FastAPI's HTTPBearer would say it too, and be run for every request after the middleware that decides.
    """
    build = app.openapi

    def openapi() -> dict[str, Any]:
        document = build()
        document["components"]["securitySchemes"] = {KEY_SCHEME: KEYS}
        for path, operations in document["paths"].items():
            if is_guarded(path):
                for operation in operations.values():
                    operation["security"] = [{KEY_SCHEME: []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def serve_description(app: FastAPI) -> None:
    """Answer the address of the OpenAPI document before FastAPI's own route does: that one encodes it for every request."""
    assert app.openapi_url is not None
    app.router.routes.insert(0, Route(app.openapi_url, Description(app.openapi).reply, include_in_schema=False))
