"""Child processes that cannot outlive this one: each in a session of its own, watched, stopped politely and then by force."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from unclip.errors import StartFailed

PR_SET_PDEATHSIG = 1  # prctl(2): the signal a process gets when the thread that started it ends


class Child:
    """One process to look after. It can be started again after it ended; output goes to `log`, else to our own."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path | None = None) -> None:
        self.name = name
        self.command = list(command)
        self.env = dict(env)
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the last start."""
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        """True from a start until the process has ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended: its exit code, minus a signal's number, or None while it runs or before its first start."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the process. Call from the main thread: a child's life is tied to the thread that starts it.

        A session of its own keeps a terminal's Ctrl-C from reaching the child: the parent decides who stops when.
        Raises StartFailed when the program cannot be run.
        """
        if self.is_running:
            raise RuntimeError(f"{self.name} is already running")
        output = self.log.open("ab") if self.log else None
        try:
            self._process = subprocess.Popen(
                self.command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - only one thread runs here, and it calls nothing but prctl
            )
        except OSError as error:
            raise StartFailed(f"{self.name} cannot be started: {error}") from error
        finally:
            if output:
                output.close()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, if the process still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the process to end. Returns False when it still runs after `timeout_seconds`."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def ending(self) -> str:
        """Say in words how the process ended."""
        code = self.exit_code
        if code is None:
            return "still running"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def unclip_command(*arguments: str) -> list[str]:
    """Return the command that runs `unclip` again with this Python."""
    return [sys.executable, "-m", "unclip", *arguments]


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a child does before it becomes its program: ask Linux for SIGKILL when its parent dies.

    SIGKILL, because a parent that was killed has nobody left to wait for a drain; the queue recovers what was running.
    Other systems have no such request: there, children end with an orderly stop of the parent only.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the request was in place
            os._exit(1)

    return arrange
