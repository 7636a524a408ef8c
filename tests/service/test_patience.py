"""Slow callers are dropped, each within its time, and the others notice nothing. On a real server and real sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from contract.settings import Settings
from service.app import create_app
from service.patience import patient_protocol
from tests.conftest import free_port, wait_for_port

PATIENCE_SECONDS = 0.6


@contextmanager
def serving(app: object) -> Iterator[int]:
    port = free_port()
    config = uvicorn.Config(
        app, port=port, log_config=None, http=patient_protocol(PATIENCE_SECONDS), h11_max_incomplete_event_size=16384
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for_port(port)
        yield port
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def port(settings: Settings) -> Iterator[int]:
    with serving(create_app(settings.model_copy(update={"slow_client_seconds": PATIENCE_SECONDS}))) as port:
        yield port


def seconds_until_closed(connection: socket.socket, drip: bytes = b"") -> float:
    """How long the server bears with a caller that sends nothing more, or one byte at a time."""
    began = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() - began < 10:
        try:
            if drip:
                connection.sendall(drip)
            if not connection.recv(4096):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_half_a_header_section_is_not_waited_for(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        assert PATIENCE_SECONDS * 0.5 < seconds_until_closed(connection) < 5


def test_a_header_section_that_drips_has_one_time_for_all(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        assert seconds_until_closed(connection, drip=b"x") < 5


def test_the_second_request_of_a_connection_is_not_waited_for_either(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.settimeout(5)
        assert b"200 OK" in connection.recv(4096)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        assert seconds_until_closed(connection) < 5


def until_closed(connection: socket.socket) -> bytes:
    """All that comes: head and body may come in pieces of their own."""
    pieces = []
    while piece := connection.recv(4096):
        pieces.append(piece)
    return b"".join(pieces)


def test_a_body_that_stops_is_a_408(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        connection.sendall(head)
        connection.settimeout(5)
        reply = until_closed(connection)
    assert b"408 Request Timeout" in reply
    assert b"request_timeout" in reply
    assert b"connection: close" in reply.lower()  # at once, not when the server's patience between requests is over


def test_a_caller_that_takes_nothing_is_dropped() -> None:
    async def much(_request: object) -> Response:
        return Response(b"x" * 50_000_000)

    with serving(Starlette(routes=[Route("/", much)])) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(PATIENCE_SECONDS * 4)
        connection.settimeout(5)
        # What the kernel had taken already still comes.
        taken = 0
        with suppress(ConnectionResetError):
            while chunk := connection.recv(2**20):
                taken += len(chunk)
        assert taken < 50_000_000


def test_a_caller_that_takes_it_slowly_gets_all_of_it() -> None:
    async def much(_request: object) -> Response:
        return Response(b"x" * 4_000_000)

    with serving(Starlette(routes=[Route("/", much)])) as port, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        connection.settimeout(10)
        taken, began = 0, time.monotonic()
        while chunk := connection.recv(150_000):
            taken += len(chunk)
            if time.monotonic() - began < PATIENCE_SECONDS * 3:
                time.sleep(0.1)
    assert taken > 4_000_000


def test_others_notice_nothing_of_a_hundred_slow_ones(port: int) -> None:
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    try:
        for connection in slow:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    finally:
        for connection in slow:
            connection.close()


def test_what_is_not_http_gets_the_one_error_shape(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
        connection.settimeout(5)
        head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert b"400 Bad Request" in head
    assert json.loads(body)["error"]["code"] == "invalid_http"


def test_a_header_section_without_end_is_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(5)
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 20000)
        reply = connection.recv(4096)
    assert b"400 Bad Request" in reply
