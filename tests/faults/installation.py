"""A whole installation to break: Valkey, an S3 server, API, webhook sender and workers, each behind a proxy of its own."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import obstore
from PIL import Image
from pydantic import SecretStr
from rq import Queue
from rq.results import Result
from rq.serializers import JSONSerializer

from contract.ended import ENDED, read_entries
from contract.errors import JobNotFound
from contract.queue import JobQueue, connect
from contract.record import JobRecord
from contract.settings import Settings
from contract.spec import read_spec
from contract.states import JobState
from contract.store import JOB_ID, ImageStore
from contract.webhooks import ENDS
from tests.conftest import MODEL_INDEX, free_port
from tests.faults.clock import VARIABLE, Clock
from tests.faults.forge import Forge, ForgedProcess
from tests.faults.ledger import Truth
from tests.faults.proxy import FaultProxy, Link
from tests.faults.receiver import Receiver
from tests.faults.releases import model_of
from tests.faults.servers import BUCKET, S3_KEY_ID, S3_SECRET, Bucket, DurableValkey
from tests.workers.plain import PlainStages
from workers.engine import Order
from workers.publish import encode

API, SENDER = "api", "webhooks"
PARTS = {API: "tests.faults.api", SENDER: "tests.faults.webhook_sender"}
"""The modules of the parts of which there is one each."""
MODULES = ("tests.faults.plain_worker", *PARTS.values())


@dataclass(frozen=True)
class Shape:
    """How an installation is laid out. `lease_seconds`: a worker silent for so long is taken for dead.

    `other_release`: folder with the code of another release, which the last worker runs.
    """

    lease_seconds: int = 2
    drain_seconds: float = 20
    step_seconds: float = 0.005
    workers: int = 2
    worker_module: str = "tests.faults.plain_worker"
    retention_hours: float = 24
    valkey_options: tuple[str, ...] = ()
    other_release: Path | None = None


class Installation:
    """Everything runs once it is made. `heal` mends whatever was broken; use `installed` to make and end one."""

    def __init__(
        self,
        folder: Path,
        forge: Forge,
        proxy: FaultProxy,
        shape: Shape,
        model_dir: Path | None = None,
        other_forge: Forge | None = None,
    ) -> None:
        """other_forge: of another release; makes the last worker."""
        self.folder, self.forge, self.shape = folder, forge, shape
        self.other_forge = other_forge or forge
        self.model_dir = model_dir or write_model_index(folder / "model")
        self.valkey = DurableValkey(folder / "valkey", *shape.valkey_options)
        self.bucket = Bucket(folder / "s3")
        self.valkey.begin()
        self.bucket.begin()
        self.receiver = Receiver()
        names = [*PARTS, *(f"worker-{number}" for number in range(shape.workers))]
        self.to_queue: dict[str, Link] = {name: proxy.link(self.valkey.port) for name in names}
        self.to_store: dict[str, Link] = {name: proxy.link(self.bucket.port) for name in names}
        self.clocks = {name: Clock(folder / f"{name}.clock") for name in names}
        self.api_port = free_port()
        self.processes: dict[str, ForgedProcess] = {}
        self.starts: Counter[str] = Counter()
        for name in names:
            self.start(name)
        self.settings = self.settings_of(self.valkey.valkey.url, self.bucket.port)
        self.redis = connect(self.valkey.valkey.url, self.settings)
        self.jobs = JobQueue(self.redis, self.settings)
        # With a writer's patience: a caller's may run out on a busy machine, and nothing would be lost.
        writer = ImageStore.open(self.settings)._writer
        self.store = ImageStore(writer, writer, None)
        self._ended: set[str] = set()
        self._looked_at: set[str] = set()

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def workers(self) -> list[str]:
        return [name for name in self.processes if name not in PARTS]

    def settings_of(self, redis_url: str, store_port: int) -> Settings:
        return Settings(
            data_dir=self.folder / "data",
            redis_url=redis_url,
            model_dir=self.model_dir,
            storage_url=f"s3://{BUCKET}/faults",
            storage_endpoint_url=f"http://127.0.0.1:{store_port}",
            storage_access_key_id=S3_KEY_ID,
            storage_secret_access_key=SecretStr(S3_SECRET),
            worker_heartbeat_ttl_seconds=self.shape.lease_seconds,
            drain_seconds=self.shape.drain_seconds,
            result_ttl_hours=self.shape.retention_hours,
            port=self.api_port,
            picture_filter=False,
            outbound_allowed_networks="127.0.0.0/8",
            device="cpu",
            worker_threads=1,
        )

    def start(self, name: str) -> None:
        """Start the API or a worker, if it does not run."""
        if name in self.processes and self.processes[name].is_running:
            return
        settings = self.settings_of(self.valkey.url_through(self.to_queue[name].port), self.to_store[name].port)
        other = self.shape.other_release if name == f"worker-{self.shape.workers - 1}" else None
        if other is not None:
            settings = settings.model_copy(update={"model_dir": model_of(other)})
        environment = environment_of(settings) | {
            "PLAIN_STEP_SECONDS": str(self.shape.step_seconds),
            VARIABLE: str(self.clocks[name].file),
        }
        module = PARTS.get(name, self.shape.worker_module)
        forge = self.forge if other is None else self.other_forge
        self.processes[name] = forge.make(module, environment, self.folder / f"{name}.log")
        self.starts[name] += 1

    def heal(self) -> None:
        """Mend every link, bring back every server and every process."""
        for link in (*self.to_queue.values(), *self.to_store.values()):
            link.heal()
        for server in (self.valkey, self.bucket):
            server.begin()
            server.thaw()
        for clock in (*self.clocks.values(), self.valkey.clock):
            clock.set(0)
        self.receiver.heal()
        for name in self.processes:
            self.start(name)

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Return once the API says that jobs can be taken."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.api_url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"the API is not ready:\n{self.processes['api'].log.read_text()[-3000:]}")

    def settle(self, seconds: float = 60) -> Truth:
        """Wait as `rest` does, and return what there is then."""
        self.rest(seconds)
        return self.truth()

    def rest(self, seconds: float = 60) -> None:
        """Wait until every job has ended and been told of, and nothing is in anybody's hands; `seconds` at most."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self._leftovers() and self._have_all_ended() and self._ended <= self._told():
                return
            time.sleep(0.1)

    def truth(self) -> Truth:
        """Return what queue and store hold, read past the proxies."""
        records = self._records()
        good = [
            record for record in records.values() if record.state is JobState.SUCCEEDED and record.id not in self._looked_at
        ]
        wrong = {record.id: reason for record in good if (reason := self._wrong(record))}
        self._looked_at |= {record.id for record in good} - wrong.keys()
        entries = read_entries(self.redis.xrange(ENDED))
        ends = Counter(entry.job_id for entry in entries if entry.state.is_terminal)
        for record in good:
            results = self.redis.xrange(f"rq:results:{record.id}")
            successes = sum(fields[b"type"] == str(Result.Type.SUCCESSFUL.value).encode() for _, fields in results)
            ends[record.id] = max(ends[record.id], successes)
        strays, leftovers = self.strays(records), self._leftovers()
        return Truth(records, ends, wrong, strays, leftovers, self.receiver.told, self.receiver.forged)

    def strays(self, records: dict[str, JobRecord]) -> list[str]:
        """Return the pictures whose job did not succeed."""
        return [
            picture
            for picture in pictures_in(self.store)
            if getattr(records.get(picture.partition("-")[0]), "state", None) is not JobState.SUCCEEDED
        ]

    def _ids(self) -> set[str]:
        ids = {key.decode().rpartition(":")[2] for key in self.redis.scan_iter("rq:job:*", count=1000)}
        return {each for each in ids if JOB_ID.fullmatch(each)}  # deliveries have ids of another kind

    def _told(self) -> set[str]:
        """The jobs of whose end the receiver has heard, and those that brought no webhook."""
        heard = {job_id for job_id, types in list(self.receiver.told.items()) if types.keys() & set(ENDS)}
        return heard | {job_id for job_id in self._ended - heard if not self.redis.exists(f"unclip:webhook:{job_id}")}

    def _records(self) -> dict[str, JobRecord]:
        return {job_id: self.jobs.fetch(job_id) for job_id in self._ids()}

    def _have_all_ended(self) -> bool:
        for job_id in self._ids() - self._ended:
            with suppress(JobNotFound):  # it ended, and its time was up, since its name was read
                if not self.jobs.fetch(job_id).state.is_terminal:
                    return False
            self._ended.add(job_id)
        return True

    def _leftovers(self) -> list[str]:
        found = []
        for queue in Queue.all(connection=self.redis, serializer=JSONSerializer):
            lengths = {
                "queue": self.redis.llen(queue.key),
                "intermediate list": self.redis.llen(queue.intermediate_queue_key),
                "started registry": self.redis.zcard(queue.started_job_registry.key),
            }
            found += [f"{length} in the {name} of {queue.name}" for name, length in lengths.items() if length]
        return found

    def _wrong(self, record: JobRecord) -> str | None:
        """Say what is wrong with a succeeded job's pictures."""
        if len(record.images) != record.spec.pictures:
            return f"has {len(record.images)} pictures of {record.spec.pictures}"
        for image in record.images:
            try:
                pixels = np.asarray(Image.open(io.BytesIO(self.store.get(image.id).bytes)))
            except Exception as error:
                return f"picture {image.id} cannot be read: {error!r}"
            # What nets draw, the test itself must know.
            is_plain = self.shape.worker_module == Shape.worker_module
            if is_plain and not np.array_equal(pixels, expected_pixels(record.spec.model_dump_json(), image.index)):
                return f"picture {image.id} has other pixels than its seed gives"
        return None


@contextmanager
def installed(folder: Path, shape: Shape | None = None) -> Iterator[Installation]:
    """Make an installation in an empty folder, and end all of it."""
    with ExitStack() as stack:
        forge, proxy = stack.enter_context(Forge(*MODULES)), stack.enter_context(FaultProxy())
        other = None
        if shape is not None and shape.other_release is not None:
            other = stack.enter_context(Forge(shape.worker_module, root=shape.other_release))
        installation = Installation(folder, forge, proxy, shape or Shape(), other_forge=other)
        stack.callback(installation.redis.close)
        stack.callback(installation.bucket.end)
        stack.callback(installation.valkey.end)
        stack.callback(installation.receiver.close)
        installation.wait_until_ready()
        yield installation


def pictures_in(store: ImageStore) -> list[str]:
    """Return the ids of all pictures that a store lists, with a writer's patience: a long list takes its time."""
    paths = [entry["path"] for chunk in obstore.list(store._writer, prefix="images") for entry in chunk]
    return ["-".join(path.split("/")[-2:]) for path in paths]


def write_model_index(folder: Path) -> Path:
    """Write a model folder that says what it is and holds nothing."""
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX))
    return folder


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables that give a process these settings, where they differ from the defaults."""
    environment = {"OMP_NUM_THREADS": "1"}
    for name, value in settings.model_dump(exclude_defaults=True).items():
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        environment[f"UNCLIP_{name.upper()}"] = str(plain)
    return environment


@cache
def expected_pixels(spec_json: str, index: int) -> np.ndarray:
    """Return what the plain stages draw for a spec, as the file holds it."""
    spec = read_spec(json.loads(spec_json))
    cascade = PlainStages()
    row = cascade.admit(Order("0" * 32, spec, float("inf")), index)
    while row.stage != "done":
        cascade.stages[row.stage].run([row])
    file = encode(cascade.product(row).pixels, spec.size_px, spec.output_format, spec.output_compression)
    return np.asarray(Image.open(io.BytesIO(file)))
