"""Every fault at least once with the real engine: two workers with a real, tiny cascade, pixels as in a calm run."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from PIL import Image

from contract.record import JobRecord
from contract.states import JobState
from tests.faults import script
from tests.faults.conftest import wait
from tests.faults.forge import Forge
from tests.faults.installation import PARTS, Installation, Shape
from tests.faults.ledger import Ledger
from tests.faults.proxy import FaultProxy
from tests.faults.script import Fault, Scale, play
from tests.models.tiny import write_tiny_model

REAL = "tests.faults.real_worker"
# Together in one round: faults that do not cost the same job two of its attempts.
TOGETHER: dict[str, Sequence[Fault]] = {
    "killed": (script.kill_worker, script.kill_api, script.kill_webhook_sender),
    "servers": (script.kill_valkey, script.kill_store, script.freeze_valkey),
    "stopped": (script.stop_worker_past_its_lease, script.slow_queue, script.refuse_webhooks),
    "told to stop": (script.tell_worker_to_stop, script.slow_store, script.break_webhooks_before_their_answer),
    "told to hurry": (script.tell_worker_to_hurry, script.reset_store, script.fill_disk_of_a_queue_that_goes_on),
    "queue cut": (script.cut_queue_towards_server, script.reset_queue, script.silence_queue),
    "queue lost": (script.cut_queue_towards_client, script.part_from_queue, script.turn_clock_of_the_queue),
    "no room": (script.fill_disk_of_the_queue, script.turn_clock),
    "store cut": (script.cut_store, script.cut_store_answers, script.silence_store),
}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    model = write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    with Forge(REAL, *PARTS.values()) as forge, FaultProxy() as proxy:
        shape = Shape(worker_module=REAL, lease_seconds=3)
        installation = Installation(tmp_path_factory.mktemp("real"), forge, proxy, shape, model)
        try:
            installation.wait_until_ready()
            yield installation
        finally:
            installation.redis.close()
            installation.bucket.end()
            installation.valkey.end()
            installation.receiver.close()


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return Ledger()


def test_every_fault_is_among_them():
    assert {fault for faults in TOGETHER.values() for fault in faults} == set(script.FAULTS)


@pytest.mark.parametrize("name", TOGETHER)
def test_the_real_engine_loses_nothing(installation, ledger, name):
    seed = 100 + list(TOGETHER).index(name)
    _, verdict = play(installation, ledger, seed, Scale(requests=5), TOGETHER[name])
    assert verdict.is_clean, verdict


def test_what_was_drawn_among_faults_has_the_pixels_of_a_calm_run(installation, ledger):
    """Last in this file: what is drawn again here is no request of the ledger's."""
    good = [record for record in installation.truth().records.values() if record.state is JobState.SUCCEEDED]
    for drawn in sorted(good, key=lambda record: -record.attempts)[:3]:
        again = wait(installation.jobs, installation.jobs.submit(drawn.spec).id)
        for theirs, ours in zip(pixels(installation, drawn), pixels(installation, again), strict=True):
            assert np.array_equal(theirs, ours)


def pixels(installation: Installation, record: JobRecord) -> list[np.ndarray]:
    files = [installation.store.get(image.id).bytes for image in record.images]
    return [np.asarray(Image.open(io.BytesIO(file))) for file in files]
