"""The whole stack as it is deployed: `unclip api` and `unclip worker` as processes of their own, on a Valkey of their own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.conftest import Valkey, free_port, start_valkey, stop

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
FEW_STEPS = {"steps": 2, "prior_steps": 2, "upsample_steps": 2}
"""What is drawn is not judged here, so it may be drawn quickly."""


@dataclass(frozen=True)
class Stack:
    """A running service, and the Valkey under it."""

    url: str
    valkey: Valkey


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One service for all tests here, with the bundled model. Its Valkey is its own: a worker would draw other tests' jobs."""
    folder = tmp_path_factory.mktemp("e2e")
    valkey, port = Valkey(free_port(), secrets.token_hex(16)), free_port()
    env = {**os.environ, "UNCLIP_REDIS_URL": valkey.url, "UNCLIP_DATA_DIR": str(folder / "data"), "UNCLIP_PORT": str(port)}
    processes = [start_valkey(valkey, folder)]
    try:
        for part in ("worker", "api"):
            with (folder / f"{part}.log").open("wb") as log:
                processes.append(subprocess.Popen(command(part), cwd=ROOT, env=env, stdout=log, stderr=log))
        wait_for_line(processes[1], folder / "worker.log", "worker ready")
        wait_for_line(processes[2], folder / "api.log", "running on")
        yield Stack(f"http://127.0.0.1:{port}", valkey)
    finally:
        for process in reversed(processes):
            stop(process)


@pytest.fixture
def client(stack: Stack) -> Iterator[OpenAI]:
    """The official client, told nothing but the address. No retries: each refusal is to be seen once."""
    with OpenAI(base_url=f"{stack.url}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=60) as http:
        yield http


def command(part: str) -> list[str]:
    """How a part is started."""
    return [sys.executable, "-m", "unclip", part]


def wait_for_line(process: subprocess.Popen[bytes], log: Path, words: str) -> None:
    """Return once a process has logged `words`."""
    deadline = time.monotonic() + START_SECONDS
    while words not in (text := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(f"no {words!r} in {log.name}; exit code {process.poll()}:\n{text[-2000:]}")
        time.sleep(0.05)
