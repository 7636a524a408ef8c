"""Small servers on this machine that tell who came, for tests of what goes out."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Listener:
    """Takes connections on `host`, answers each with `replies`, `pause_seconds` apart, and keeps what came."""

    host: str = "127.0.0.1"
    replies: Sequence[bytes] = (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",)
    pause_seconds: float = 0.0
    tls: ssl.SSLContext | None = None
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        leave = threading.Event()
        with socket.create_server(
            (self.host, self.port), family=socket.AF_INET6 if ":" in self.host else socket.AF_INET
        ) as server:
            self.port = server.getsockname()[1]
            server.settimeout(0.05)
            thread = threading.Thread(target=self._serve, args=(server, leave), name="listener")
            thread.start()
            try:
                yield self
            finally:
                leave.set()
                thread.join(timeout=5)

    def _serve(self, server: socket.socket, leave: threading.Event) -> None:
        while not leave.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            self.connections += 1
            with connection, contextlib.suppress(OSError):
                self._answer(connection, leave)

    def _answer(self, connection: socket.socket, leave: threading.Event) -> None:
        connection.settimeout(2)
        spoken = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
        self.requests.append(_request(spoken))
        for part in self.replies:
            if leave.is_set():
                return
            spoken.sendall(part)
            time.sleep(self.pause_seconds)
        if self.tls:
            spoken.close()


def _request(connection: socket.socket) -> bytes:
    """One request, its body included, as far as it came."""
    request = b""
    while b"\r\n\r\n" not in request and (part := connection.recv(65536)):
        request += part
    length = re.search(rb"content-length: (\d+)", request.lower())
    missing = int(length[1]) - len(request.partition(b"\r\n\r\n")[2]) if length else 0
    while missing > 0 and (part := connection.recv(missing)):
        request, missing = request + part, missing - len(part)
    return request


def redirect(to: str, status: int = 302) -> tuple[bytes]:
    return (f"HTTP/1.1 {status} Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode(),)
