"""Pictures are drawn once, kept, and are the same however they came about."""

from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from evals.quality import pictures as module
from evals.quality.conditioning import CONDITIONINGS, admit
from evals.quality.pictures import Job, Pictures
from models.cascade import Cascade, to_pixels
from models.errors import ModelError
from models.row import DONE, DrawRequest
from tests.models.tiny import DEFAULTS, write_tiny_model

SETTINGS: Any = DEFAULTS
APPLE, PEAR = Job.of("an apple", 1, SETTINGS), Job.of("a pear", 2, SETTINGS)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def cascade(model):
    return Cascade.load(model, threads=1)


@pytest.fixture
def pictures(model, tmp_path):
    return Pictures(model, tmp_path / "pictures")


def with_steps(steps: int) -> Any:
    return {**SETTINGS, "steps": steps}


def test_a_small_picture_is_the_decoders_own(pictures, cascade):
    row = cascade.admit(DrawRequest(prompt="an apple", seed=1, **SETTINGS))
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
    drawn = pictures.draw([APPLE], "")[0]  # in company, whose kernels differ in their last bits
    assert np.abs(drawn.astype(int) - to_pixels(row.small[0])).max() <= 1


def test_a_large_picture_has_passed_the_upsampler(pictures):
    assert pictures.draw([Job.of("an apple", 1, SETTINGS, size_px=256)], "")[0].shape == (256, 256, 3)


def test_only_what_is_not_kept_yet_is_drawn(pictures, monkeypatch):
    first = pictures.draw([APPLE], "")
    drawn = []
    travel = module.travel
    monkeypatch.setattr(module, "travel", lambda cascade, jobs: drawn.extend(jobs) or travel(cascade, jobs))
    again = pictures.draw([APPLE, PEAR, APPLE], "")
    assert set(drawn) == {PEAR}
    assert np.array_equal(again[0], first[0])
    assert np.array_equal(again[2], first[0])


def test_progress_counts_what_was_kept_as_done(pictures):
    pictures.draw([APPLE], "")
    shown = []
    pictures.show = lambda *told: shown.append(told)
    pictures.draw([APPLE, PEAR], "pears")
    assert shown == [("pears", 2, 2)]


def test_whatever_decides_the_pixels_decides_the_file(model, pictures, tmp_path):
    others = [
        Job.of("an apple", 2, SETTINGS),
        Job.of("apple", 1, SETTINGS),
        Job.of("an apple", 1, with_steps(4)),
        Job.of("an apple", 1, SETTINGS, "text"),
        Job.of("an apple", 1, SETTINGS, size_px=256),
    ]
    other_model = Pictures(write_tiny_model(tmp_path / "other", seed=1), pictures.folder)
    places = {pictures.place(job) for job in (APPLE, *others)} | {other_model.place(APPLE)}
    assert len(places) == 7
    assert Pictures(model, pictures.folder, processes=2).place(APPLE) == pictures.place(APPLE)


def test_two_processes_draw_the_same_pixels(pictures, model, tmp_path):
    together = Pictures(model, tmp_path / "apart", processes=2).draw([APPLE, PEAR], "")
    for one, other in zip(pictures.draw([APPLE, PEAR], ""), together, strict=True):
        assert np.array_equal(one, other)


def test_a_failure_in_another_process_is_told(model, tmp_path):
    broken = Job.of("an apple", 1, with_steps(0))
    with pytest.raises(ModelError, match="steps"):
        list(module.paint_apart(model, [(broken, tmp_path / "one.png"), (broken, tmp_path / "two.png")], 2))


def test_a_painter_stops_when_its_parent_was_killed(model, tmp_path, monkeypatch):
    def dead() -> SimpleNamespace:
        return SimpleNamespace(is_alive=lambda: False)

    monkeypatch.setattr(module.multiprocessing, "parent_process", dead)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    todo = [(Job.of("an apple", seed, SETTINGS), tmp_path / f"{seed}.png") for seed in range(8)]
    module._paint_and_tell(model, todo, SimpleQueue())
    assert len(list(tmp_path.iterdir())) < len(todo)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"manifest\.json"):
        Pictures(tmp_path, tmp_path)


def test_each_conditioning_tells_the_decoder_something_else(cascade):
    rows = [admit(cascade, DrawRequest(prompt="an apple", seed=1, **SETTINGS), name) for name in CONDITIONINGS]
    assert [row.stage for row in rows] == ["decoder", "decoder", "prior"]
    tokens, text = rows[:2]
    assert torch.equal(tokens.z_i, cascade.stages["decoder"].text_proj.without_image(1))
    assert torch.equal(text.z_i, text.text.embeds)
    assert torch.equal(tokens.x_t, text.x_t)
