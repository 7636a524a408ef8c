"""A process that forks a child for each connection that it is handed: what is dear to import is imported once."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

END_SECONDS = 2.0


@dataclass(frozen=True)
class Running:
    """The server's process, and the socket by which it is handed connections."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    @classmethod
    def start(cls, script: Path) -> Running:
        """Start `script`, isolated and without our environment: it knows no secret, and what it says is for nobody."""
        ours, theirs = socket.socketpair()
        nothing = subprocess.DEVNULL
        try:
            with theirs:
                command = [sys.executable, "-I", str(script), str(theirs.fileno())]
                return cls(
                    subprocess.Popen(
                        command, stdin=nothing, stdout=nothing, stderr=nothing, env={}, pass_fds=[theirs.fileno()]
                    ),
                    ours,
                )
        except OSError:
            ours.close()
            raise

    def hand_over(self, connection: socket.socket) -> None:
        """Let a child be forked for the other end of a connection. Raises ConnectionError when the process is gone."""
        # One byte a connection: a longer message might come in two.
        socket.send_fds(self.control, [b"+"], [connection.fileno()])

    def end(self) -> None:
        """Wait for its end, which closing the socket brings; one that is stuck is killed."""
        self.control.close()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class ForkServer:
    """Runs a script that takes connections as `service.uploads.decode` does: started when first asked, and again when gone.

    Threads may ask at the same time. It ends with this process, however that ends: the socket between them is then closed.
    """

    def __init__(self, script: Path) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._running: Running | None = None

    @property
    def pid(self) -> int | None:
        """The process that was started last; None before the first connection and after `close`."""
        return None if self._running is None else self._running.process.pid

    def connect(self) -> socket.socket:
        """Return a connection to a child that is now being forked; the caller closes it. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                self._hand_over(theirs)
        except OSError:
            ours.close()
            raise
        return ours

    def close(self) -> None:
        """End the server; children that read a picture end when they have. The next connection starts another."""
        with self._lock:
            self._end()

    def _hand_over(self, connection: socket.socket) -> None:
        if self._running is not None:
            try:
                return self._running.hand_over(connection)
            except ConnectionError:  # Somebody killed it.
                self._end()
        self._running = Running.start(self._script)
        return self._running.hand_over(connection)

    def _end(self) -> None:
        # Forgotten first: whatever comes of its end, and of another's start, it is not asked again.
        running, self._running = self._running, None
        if running is not None:
            running.end()
