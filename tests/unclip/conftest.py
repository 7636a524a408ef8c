"""A whole service in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import MODEL_INDEX, free_port

ROOT = Path(__file__).resolve().parents[2]


class Serve:
    """One `serve` process and what it says."""

    def __init__(self, command: list[str], data_dir: Path, port: int, env: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = data_dir.with_suffix(f".{port}.log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **env}, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def pid_of(self, part: str) -> int:
        """The process id of a part's latest start."""
        return int(re.findall(rf"^{part} (\d+) (?:starts|keeps)", self.said, re.M)[-1])

    def wait_until_it_says(self, words: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def press_ctrl_c(self) -> None:
        """What a terminal does: SIGINT to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self, seconds: float = 40) -> int:
        return self.process.wait(seconds)


class StartServe(Protocol):
    def __call__(self, data_dir: Path, *, step_seconds: float = 0.0, port: int | None = None) -> Serve: ...


@pytest.fixture
def start_serve(model_dir: Path) -> Iterator[StartServe]:
    """Starts `serve` with a real queue, API and worker, and stages without nets."""
    started: list[Serve] = []

    def start(data_dir: Path, *, step_seconds: float = 0.0, port: int | None = None) -> Serve:
        started.append(plain_serve(data_dir, model_dir, step_seconds, port or free_port()))
        return started[-1]

    yield start
    for serve in started:
        serve.process.kill()
        serve.process.wait()


@pytest.fixture
def serve(start_serve: StartServe, tmp_path: Path) -> Serve:
    """One that is ready to draw, and may be broken."""
    return ready(start_serve(tmp_path / "data"))


@pytest.fixture(scope="module")
def shared_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """One that is ready to draw, for tests that only use it."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX))
    serve = plain_serve(folder / "data", folder, 0.0, free_port())
    yield ready(serve)
    serve.process.kill()
    serve.process.wait()


def plain_serve(data_dir: Path, model_dir: Path, step_seconds: float, port: int) -> Serve:
    command = [sys.executable, "-m", "tests.unclip.plain_serve", str(data_dir), str(port), str(step_seconds)]
    return Serve(command, data_dir, port, {"UNCLIP_MODEL_DIR": str(model_dir)})


def ready(serve: Serve) -> Serve:
    """Return it once it answers and draws."""
    serve.wait_until_it_says("unclip is at")
    serve.wait_until_it_says("worker ready")
    return serve
