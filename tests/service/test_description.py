"""The OpenAPI document: once, not on the event loop, and not twice to the same caller."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.description import Description


def test_a_burst_builds_one_document_and_not_on_the_event_loop() -> None:
    builders: list[int] = []

    def build() -> dict[str, str]:
        builders.append(threading.get_ident())
        return {"title": "ünclip"}

    async def burst() -> None:
        description = Description(build)
        first, *others = await asyncio.gather(*(description.document() for _ in range(20)))
        assert all(other is first for other in others)
        assert first.body == '{"title":"ünclip"}'.encode()
        assert len(builders) == 1
        assert builders[0] != threading.get_ident()

    asyncio.run(burst())


def test_the_document_is_encoded_once_and_not_sent_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    reply = client.get("/openapi.json")
    assert reply.json() == client.app.openapi()  # type: ignore[attr-defined]
    monkeypatch.setattr(FastAPI, "openapi", lambda _self: 1 / 0)
    again = client.get("/openapi.json")
    assert (again.content, again.headers["etag"]) == (reply.content, reply.headers["etag"])
    assert (again.headers["content-type"], again.headers["cache-control"]) == ("application/json", "no-cache")
    known = client.get("/openapi.json", headers={"If-None-Match": reply.headers["etag"]})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", reply.headers["etag"])
    assert client.get("/openapi.json", headers={"If-None-Match": '"another"'}).status_code == 200
    assert client.head("/openapi.json").headers["etag"] == reply.headers["etag"]
