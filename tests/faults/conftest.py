"""Real processes to kill: workers, and a Valkey that keeps its data on disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract.queue import JobQueue, connect, queue_name
from contract.record import JobRecord
from contract.settings import Settings
from tests.faults.forge import Forge, ForgedProcess
from tests.faults.installation import MODULES, environment_of
from tests.faults.servers import DurableValkey

ROOT = Path(__file__).resolve().parents[2]
TTL_SECONDS = 2
PLAIN = "tests.faults.plain_worker"


@pytest.fixture
def outages(tmp_path: Path) -> Iterator[DurableValkey]:
    """A Valkey of the test's own, to take away and bring back."""
    valkey = DurableValkey(tmp_path / "valkey")
    valkey.begin()
    yield valkey
    valkey.end()


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    """Makes workers and API processes in a moment."""
    with Forge(*MODULES) as forge:
        yield forge


@pytest.fixture
def fault_settings(outages: DurableValkey, model_dir: Path, tmp_path: Path) -> Settings:
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

    def __init__(self, settings: Settings, log: Path, module: str, extra: dict[str, str], forge: Forge) -> None:
        environment = environment_of(settings) | extra
        self.log = log
        self.process: ForgedProcess | subprocess.Popen[bytes]
        if module == PLAIN:
            self.process = forge.make(module, environment, log)
            return
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("UNCLIP_")}
        with log.open("wb") as file:
            command = [sys.executable, "-m", *module.split()]
            self.process = subprocess.Popen(command, cwd=ROOT, env=inherited | environment, stdout=file, stderr=file)

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
def start_worker(fault_settings: Settings, tmp_path: Path, forge: Forge) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers and waits until they are ready; kills what is left of them afterwards.

    armed: die_in, stop_in, without, as in plain_worker.
    """
    started: list[WorkerProcess] = []

    def start(
        step_seconds: float = 0.0,
        load_seconds: float = 0.0,
        settings: Settings = fault_settings,
        module: str = PLAIN,
        is_ready: bool = True,
        **armed: str,
    ) -> WorkerProcess:
        seconds = {"PLAIN_STEP_SECONDS": str(step_seconds), "PLAIN_LOAD_SECONDS": str(load_seconds)}
        extra = seconds | {f"PLAIN_{how.upper()}": what for how, what in armed.items()}
        started.append(WorkerProcess(settings, tmp_path / f"worker-{len(started)}.log", module, extra, forge))
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
