"""How long a connection may keep the service waiting: for a request's header section, and for a reply to be taken.

uvicorn has a time limit between requests and none within one. The body's is in `BodyLimit`, where it is read.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import sys
import termios
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from contract.errors import InvalidHttp


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that drops a caller which sends part of a header section, or takes none of its reply, for `patience_seconds`."""

    patience_seconds: ClassVar[float] = 20.0

    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    _left_to_send = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request from the first moment."""
        super().connection_made(transport)
        self._watch_head(is_expected=True)

    def data_received(self, data: bytes) -> None:
        """Read on, with the header section's time running from its first byte."""
        super().data_received(data)
        is_waiting = self.conn.their_state is h11.IDLE
        self._watch_head(is_expected=is_waiting and (self.cycle is None or bool(self.conn.trailing_data[0])))

    def pause_writing(self) -> None:
        """Note that the caller does not take its reply as fast as it is made."""
        super().pause_writing()
        self._watch_stall()

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        super().resume_writing()
        _stop(self._stall_timer)
        self._stall_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers with the connection."""
        _stop(self._head_timer)
        _stop(self._stall_timer)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in the shape of every other error."""
        body = json.dumps(InvalidHttp().wire()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=InvalidHttp.status, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch_head(self, *, is_expected: bool) -> None:
        if not is_expected:
            _stop(self._head_timer)
            self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.patience_seconds, self.transport.abort)

    def _watch_stall(self) -> None:
        """Drop the connection unless something of what is left was taken since the last look."""
        left = self.transport.get_write_buffer_size() + _untaken_by_the_peer(self.transport)
        if self._stall_timer is not None and left >= self._left_to_send:
            self.transport.abort()
            return
        self._left_to_send = left
        self._stall_timer = self.loop.call_later(self.patience_seconds, self._watch_stall)


def patient_protocol(seconds: float) -> type[PatientProtocol]:
    """Return the protocol with its patience, for uvicorn, which makes the connections itself."""
    return type("PatientProtocol", (PatientProtocol,), {"patience_seconds": seconds})


def _untaken_by_the_peer(transport: asyncio.Transport) -> int:
    """Return how many bytes the kernel holds for the caller, which may be megabytes; 0 where it cannot be asked."""
    sock = transport.get_extra_info("socket")
    answer = bytearray(4)
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, answer)
    except (OSError, AttributeError):
        return 0
    return int.from_bytes(answer, sys.byteorder)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
