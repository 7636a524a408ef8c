"""A service for one call: `unclip serve` on a free port with a folder of its own, gone when the call is over."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.settings import Settings
from unclip.client import UnclipClient
from unclip.errors import StartFailed
from unclip.ports import LOOPBACK, base_url, free_port
from unclip.processes import Child, unclip_command

START_SECONDS = 90.0
# The call keeps to the embedded parts, whatever a deployment's variables say.
NOT_INHERITED = ("UNCLIP_REDIS_URL", "UNCLIP_STORAGE_URL", "UNCLIP_PUBLIC_BASE_URL", "UNCLIP_API_KEYS")


@contextmanager
def own_service(settings: Settings) -> Iterator[str]:
    """Run a whole service and yield its base URL; stops it, and removes its folder, at the end.

    Raises StartFailed with the end of its log when it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="unclip-") as name:
        folder, port = Path(name), free_port()
        env = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
        command = unclip_command("serve", "--host", LOOPBACK, "--port", str(port), "--data-dir", str(folder))
        child = Child("unclip serve", command, env, log=folder / "serve.log")
        child.start()
        try:
            wait_until_alive(child, base_url(LOOPBACK, port))
            yield base_url(LOOPBACK, port)
        finally:
            child.ask_to_stop()
            if not child.wait(settings.drain_seconds + 20):
                child.kill()


def wait_until_alive(child: Child, url: str, timeout_seconds: float = START_SECONDS) -> None:
    """Wait until the service of `child` answers at `url`. Raises StartFailed when it ends or stays silent."""
    deadline = time.monotonic() + timeout_seconds
    with UnclipClient(url, timeout_seconds=2) as client:
        while not client.is_alive():
            if not child.is_running:
                raise StartFailed(f"the service stopped while starting ({child.ending()}):\n{last_words(child)}")
            if time.monotonic() > deadline:
                raise StartFailed(f"the service does not answer after {timeout_seconds:.0f} s:\n{last_words(child)}")
            time.sleep(0.05)


def last_words(child: Child, lines: int = 15) -> str:
    """Return the end of a child's log."""
    if child.log is None or not child.log.exists():
        return ""
    return "\n".join(child.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
