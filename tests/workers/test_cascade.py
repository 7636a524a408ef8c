"""The engine over the real cascade, with chance weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.errors import ModelError
from contract.settings import Settings
from tests.workers.plain import make_spec
from workers.cascade import CascadeStages, device_of, load_cascade, tune_openmp
from workers.engine import Drawn, Engine, Failed, Order
from workers.pick import Budget

ROOMY = Budget(call_cost=100.0, patience_seconds=0.0, rows=64)


@pytest.fixture(scope="module")
def cascade(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CascadeStages]:
    """On the CPU backend that the test names, or torch."""
    import torch

    from tests.models.backends import skip_without
    from tests.models.tiny import write_tiny_model

    backend = getattr(request, "param", "torch")
    skip_without(backend)
    threads = torch.get_num_threads()
    folder = write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    settings = Settings(model_dir=folder, data_dir=folder.parent, device="cpu", worker_threads=1, cpu_backend=backend)
    yield load_cascade(settings)
    assert bool(list(folder.parent.glob("compiled/*.graph"))) == (backend != "torch")
    torch.set_num_threads(threads)


def finish(engine: Engine) -> dict[str, Drawn | Failed]:
    ended = {}
    while engine.tick():
        ended.update({outcome.order.job_id: outcome for outcome in engine.outcomes()})
    return ended


def order(name: str, **fields: object) -> Order:
    return Order(name, make_spec(**fields), float("inf"))


@pytest.mark.parametrize("cascade", ["torch", "openvino", "openvino_bf16"], indirect=True)
def test_a_picture_is_the_same_alone_and_among_rows_at_other_timesteps(cascade, monkeypatch):
    engine = Engine(cascade, ROOMY)
    engine.admit(order("alone", seed=7, steps=6))
    alone = finish(engine)["alone"]

    calls: list[list[int]] = []
    decoder = cascade.stages["decoder"]
    run = decoder.run
    monkeypatch.setattr(decoder, "run", lambda rows: (calls.append([row.step for row in rows]), run(rows))[1])
    crowd = Engine(cascade, ROOMY)
    crowd.admit(order("early", prompt="a cat", seed=1, steps=9, guidance_scale=1.0))
    for _ in range(5):
        crowd.tick()
    crowd.admit(order("ours", seed=7, steps=6))
    crowd.admit(order("late", prompt="a boat", seed=9, steps=4, guidance_scale=5.0))
    ours = finish(crowd)["ours"]

    assert any(len(set(call)) > 1 for call in calls), "rows at different timesteps must really have shared a call"
    assert np.array_equal(ours.pictures[0], alone.pictures[0])


def test_pictures_of_a_job_are_those_of_its_seeds(cascade):
    engine = Engine(cascade, ROOMY)
    engine.admit(order("both", n=2, seed=2**32 - 1))
    engine.admit(order("second", seed=0))
    ended = finish(engine)
    assert ended["both"].pictures[0].shape == (256, 256, 3)
    assert np.array_equal(ended["both"].pictures[1], ended["second"].pictures[0])
    assert not np.array_equal(ended["both"].pictures[0], ended["both"].pictures[1])


def test_each_stage_takes_the_steps_that_progress_counts_on(cascade):
    spec = make_spec(prior_steps=3, steps=5, upsample_steps=2)
    row = cascade.admit(Order("one", spec, 60.0), 0)
    steps = {}
    while row.stage in cascade.stages:
        steps[row.stage] = row.steps
        cascade.stages[row.stage].run([row])
    assert steps == cascade.steps(spec)


def test_a_large_picture_passes_the_second_upsampler_where_the_model_has_one(tmp_path: Path):
    from tests.models.tiny import add_second_upsampler, write_tiny_model

    folder = add_second_upsampler(write_tiny_model(tmp_path / "model"), steps=1)
    engine = Engine(load_cascade(Settings(model_dir=folder, device="cpu", worker_threads=1)), ROOMY)
    for size in ("256x256", "1024x1024"):
        engine.admit(order(size, size=size, steps=1, prior_steps=1, upsample_steps=1))
    ended = finish(engine)
    assert {name: drawn.pictures[0].shape[0] for name, drawn in ended.items()} == {"256x256": 256, "1024x1024": 1024}
    assert "upsample_1024" in ended["1024x1024"].seconds.keys() - ended["256x256"].seconds.keys()


def test_a_job_is_drawn_by_the_prior_that_it_asks_for(tmp_path: Path):
    from tests.models.tiny import add_prior_ar, write_tiny_model

    folder = add_prior_ar(write_tiny_model(tmp_path / "model"))
    engine = Engine(load_cascade(Settings(model_dir=folder, device="cpu", worker_threads=1)), ROOMY)
    for prior in ("diffusion", "autoregressive"):
        engine.admit(order(prior, prior=prior, steps=1, upsample_steps=1))
    ended = finish(engine)
    assert "prior" in ended["diffusion"].seconds.keys() - ended["autoregressive"].seconds.keys()
    assert "prior_ar" in ended["autoregressive"].seconds.keys() - ended["diffusion"].seconds.keys()
    assert not np.array_equal(ended["diffusion"].pictures[0], ended["autoregressive"].pictures[0])


def test_a_row_that_breaks_fails_its_own_job_only(cascade):
    engine = Engine(cascade, ROOMY)
    engine.admit(order("bad", seed=1))
    engine.admit(order("good", seed=2))
    bad = engine.tickets["bad"].seats[0].row
    bad.x_t = bad.x_t * float("nan")
    ended = finish(engine)
    assert ended["bad"].fault.code == "numerical_failure"
    assert isinstance(ended["good"], Drawn)


def test_a_folder_that_cannot_be_served_is_told_in_the_services_own_words(tmp_path: Path):
    with pytest.raises(ModelError):
        load_cascade(Settings(model_dir=tmp_path, device="cpu"))


def test_openmp_is_tuned_and_the_operators_word_stands():
    environ = {"GOMP_SPINCOUNT": "7"}
    tune_openmp(environ, threads=3)
    assert environ == {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "3"}


def test_openmp_is_tuned_before_torch_loads_it():
    code = (
        "import sys; import workers.cascade as c; c.tune_openmp = lambda environ, threads: print('torch' in sys.modules); "
        "from contract.settings import Settings; c.load_cascade(Settings(model_dir='/nonexistent', device='cpu'))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "False"


def test_a_device_that_is_not_there_is_told_in_the_services_own_words():
    with pytest.raises(ModelError, match="UNCLIP_DEVICE"):
        device_of(Settings(device="cuda:99"))


@pytest.mark.parametrize("asked", [{"decoder": "turbo"}, {"prior": "autoregressive"}])
def test_jobs_for_parts_that_the_model_lacks_fail_by_name_and_do_not_stop_the_engine(cascade, asked):
    engine = Engine(cascade, ROOMY)
    for number in range(10):
        engine.admit(order(f"job-{number}", **asked))  # as many raised ones would be EngineBroken
    faults = {outcome.fault.code for outcome in engine.outcomes() if isinstance(outcome, Failed)}
    assert faults == {"part_missing"}
