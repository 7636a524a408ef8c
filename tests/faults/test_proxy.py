"""The fault proxy does what it says: a test with a fault that never happened would prove nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy, Link


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A local port that sends back what it gets, in many threads."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(wire: socket.socket) -> None:
        with wire:
            try:
                while data := wire.recv(4096):
                    wire.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(wire,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def link(echo_port: int) -> Iterator[Link]:
    with FaultProxy() as proxy:
        yield proxy.link(echo_port)


def dial(link: Link, timeout_seconds: float = 5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=timeout_seconds)


def ask(wire: socket.socket, words: bytes) -> bytes:
    """Send `words`, and return what comes back: as many bytes, or fewer when the connection ends."""
    wire.sendall(words)
    got = b""
    while len(got) < len(words):
        try:
            piece = wire.recv(4096)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return got
        got += piece
    return got


def test_a_healthy_link_carries_everything(link):
    with dial(link) as wire:
        assert ask(wire, b"apple" * 1000) == b"apple" * 1000


def test_latency_holds_both_ways(link):
    link.delay(0.1)
    with dial(link) as wire:
        began = time.monotonic()
        assert ask(wire, b"apple") == b"apple"
        assert time.monotonic() - began >= 0.2


def test_a_reset_breaks_what_is_there_and_not_what_comes(link):
    with dial(link) as old:
        assert ask(old, b"apple") == b"apple"
        link.reset()
        assert ask_safely(old) == b""
        with dial(link) as new:
            assert ask(new, b"pear") == b"pear"


def test_a_link_that_is_down_answers_nobody_until_it_is_healed(link):
    link.down()
    with dial(link) as wire:
        assert ask_safely(wire) == b""
    link.heal()
    with dial(link) as wire:
        assert ask_safely(wire) == b"apple"


def ask_safely(wire: socket.socket) -> bytes:
    try:
        return ask(wire, b"apple")
    except ConnectionError:
        return b""


def test_a_half_open_link_keeps_the_connection_and_delivers_late(link):
    with dial(link, timeout_seconds=0.3) as wire:
        assert ask(wire, b"apple") == b"apple"
        link.silence()
        with pytest.raises(TimeoutError):
            ask(wire, b"pear")
        link.heal()
        assert wire.recv(10) == b"pear"


def test_a_cut_lets_exactly_so_many_bytes_pass_once(link):
    link.cut(7, towards="client")
    with dial(link) as wire:
        assert ask(wire, b"0123456789") == b"0123456"
    with dial(link) as wire:
        assert ask(wire, b"0123456789") == b"0123456789"


def test_a_server_that_is_away_breaks_the_connection(closed_port):
    with FaultProxy() as proxy, dial(proxy.link(closed_port)) as wire:
        assert ask_safely(wire) == b""
