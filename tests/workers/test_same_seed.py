"""Same seed, same pixels on a CPU: whoever is near, in whatever order, whatever becomes of the neighbours, after a restart."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from contract.settings import Settings
from tests.models.tiny import write_tiny_model
from tests.workers.plain import make_spec
from workers.cascade import CascadeStages, load_cascade
from workers.engine import Drawn, Engine, Failed, Order
from workers.pick import Budget

ROOMY = Budget(call_cost=100.0, patience_seconds=0.0, rows=64)
OURS = {"seed": 7, "steps": 6, "n": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def cascade(folder: Path) -> Iterator[CascadeStages]:
    threads = torch.get_num_threads()
    yield load_cascade(Settings(model_dir=folder, device="cpu", worker_threads=1))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def alone(cascade: CascadeStages) -> str:
    engine = Engine(cascade, Budget.of("cpu", {name: stage.cost for name, stage in cascade.stages.items()}))
    engine.admit(order("ours", **OURS))
    return digest(finish(engine)["ours"])


def order(name: str, prompt: str = "a red apple", **fields: object) -> Order:
    return Order(name, make_spec(prompt, **fields), float("inf"))


def finish(engine: Engine) -> dict[str, Drawn | Failed]:
    ended = {}
    while engine.tick():
        ended.update({outcome.order.job_id: outcome for outcome in engine.outcomes()})
    return ended


def digest(drawn: Drawn | Failed) -> str:
    assert isinstance(drawn, Drawn), drawn
    return hashlib.sha256(b"".join(picture.tobytes() for picture in drawn.pictures)).hexdigest()


def neighbours(rng: random.Random, count: int) -> list[Order]:
    """Jobs that differ from ours in everything that a row can differ in."""
    return [
        order(
            f"other-{number}",
            rng.choice(["a cat", "two boats", "a hat"]),
            seed=rng.randrange(2**32),
            steps=rng.randrange(1, 9),
            guidance_scale=rng.choice([1.0, 2.0, 7.5]),
            prior_guidance_scale=rng.choice([1.0, 3.0]),
            prior_steps=rng.randrange(1, 5),
            upsample_steps=rng.randrange(1, 4),
            lane=rng.choice(["interactive", "batch"]),
            key=rng.choice(["a", "b"]),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("schedule", range(3))
def test_in_any_order_among_others_that_come_are_canceled_and_fail(cascade, alone, schedule):
    rng = random.Random(schedule)
    engine = Engine(cascade, ROOMY)
    crowd = [*neighbours(rng, 5), order("ours", **OURS)]
    rng.shuffle(crowd)
    ended: dict[str, Drawn | Failed] = {}
    while crowd or engine.tickets:
        for _ in range(rng.randrange(2)):
            if crowd:
                engine.admit(crowd.pop())
        others = [name for name in engine.tickets if name != "ours"]
        if others and rng.random() < 0.1:
            engine.drop(rng.choice(others))
        elif others and rng.random() < 0.1:
            row = engine.tickets[rng.choice(others)].seats[0].row
            row.x_t = row.x_t * float("nan")
        engine.tick()
        ended.update({outcome.order.job_id: outcome for outcome in engine.outcomes()})
    assert digest(ended["ours"]) == alone


def test_beside_a_row_whose_calls_raise(cascade, alone, monkeypatch):
    decoder = cascade.stages["decoder"]
    advance = decoder.advance

    def advance_unless_cursed(rows):
        if any(row.request.seed == 666 for row in rows):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        advance(rows)

    monkeypatch.setattr(decoder, "advance", advance_unless_cursed)
    engine = Engine(cascade, ROOMY)
    for each in (order("before", seed=1), order("cursed", seed=666), order("ours", **OURS)):
        engine.admit(each)
    ended = finish(engine)
    assert ended["cursed"].fault.code == "out_of_memory"
    assert digest(ended["ours"]) == alone


@pytest.mark.parametrize("stage", ["decoder", "upsample_256"])
def test_memory_that_ran_out_between_two_stages_is_asked_for_again(cascade, alone, monkeypatch, stage):
    entered = cascade.stages[stage]
    enter, refusals = entered.enter, [1, 2]

    def enter_at_the_third_attempt(row):
        if refusals:
            refusals.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")
        enter(row)

    monkeypatch.setattr(entered, "enter", enter_at_the_third_attempt)
    engine = Engine(cascade, ROOMY)
    engine.admit(order("ours", **OURS))
    assert digest(finish(engine)["ours"]) == alone


def test_after_a_restart(folder, alone):
    code = (
        "import sys; from pathlib import Path; from tests.workers import test_same_seed as t; "
        "from workers.cascade import load_cascade; from contract.settings import Settings; "
        "engine = t.Engine(load_cascade(Settings(model_dir=Path(sys.argv[1]), device='cpu', worker_threads=1)), t.ROOMY); "
        "engine.admit(t.order('first', seed=3)); engine.admit(t.order('ours', **t.OURS)); "
        "print(t.digest(t.finish(engine)['ours']))"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-1] == alone
