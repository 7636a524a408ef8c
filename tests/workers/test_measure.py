"""Measuring the stages of a cascade."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from contract.catalog import ModelDefaults
from contract.settings import Settings
from tests.models.tiny import DEFAULTS, add_prior_ar, write_tiny_model
from tests.workers.plain import PlainStages
from workers.calibration import FILE, read_calibration
from workers.cascade import calibration_of, load_cascade, setup_of
from workers.measure import REPEATS, CpuMemory, measure, stand_in

GUIDANCE = ModelDefaults.model_validate(DEFAULTS)


class NoMemory:
    """Knows nothing."""

    def free_bytes(self) -> int:
        return 0

    def restart(self) -> None:
        pass

    def peak_bytes(self) -> int:
        return 0


def test_every_stage_is_measured_at_every_size():
    cascade = PlainStages(step_seconds=0.001)
    found = measure(cascade, GUIDANCE, (1, 2), NoMemory())
    assert {name: [point.rows for point in points] for name, points in found.items()} == {
        name: [1, 2] for name in ("prior", "decoder", "upsample_256")
    }
    assert found["upsample_256"][1].seconds >= 0.004
    assert len([call for call in cascade.stages["decoder"].trace if len(call) == 2]) == 1 + REPEATS


def test_sizes_that_do_not_fit_are_left_out():
    cascade = PlainStages()
    cascade.stages["decoder"].most_rows = 2
    found = measure(cascade, GUIDANCE, (1, 2, 4, 8), NoMemory())
    assert [point.rows for point in found["decoder"]] == [1, 2]
    assert [point.rows for point in found["prior"]] == [1, 2, 4, 8]


def test_no_larger_calls_are_tried_than_one_that_takes_too_long(monkeypatch):
    monkeypatch.setattr("workers.measure.MOST_SECONDS", 0.003)
    found = measure(PlainStages(step_seconds=0.002), GUIDANCE, (1, 2, 4), NoMemory())
    assert [point.rows for point in found["decoder"]] == [1, 2]


def test_a_fault_that_is_not_memory_is_not_hidden(monkeypatch):
    cascade = PlainStages()
    monkeypatch.setattr(cascade.stages["decoder"], "run", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measure(cascade, GUIDANCE, (1,), NoMemory())


def test_a_stage_that_no_job_passes_is_left_out():
    assert stand_in(PlainStages(), "dreams", GUIDANCE) is None


def test_the_peak_of_memory_is_seen():
    memory = CpuMemory()
    if not memory.free_bytes() or not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells")
    gc.collect()  # what others left in this process must not go away in between
    memory.restart()
    block = bytearray(256 * 2**20)
    del block
    assert memory.peak_bytes() >= 128 * 2**20


def test_the_command_measures_a_whole_model_and_the_worker_believes_it(tmp_path: Path, monkeypatch):
    from unclip.calibrate_command import calibrate
    from unclip.cli import stdout_console

    monkeypatch.setattr("workers.measure.CPU_SIZES", (1,))
    folder = add_prior_ar(write_tiny_model(tmp_path / "model"))
    settings = Settings(model_dir=folder, device="cpu", worker_threads=1, data_dir=tmp_path / "data")
    assert calibration_of(settings) is None
    assert calibrate(settings, stdout_console()) == tmp_path / "data" / FILE
    found = calibration_of(settings)
    passed = load_cascade(settings).stages.keys() - {"invert"}  # this model has no image tower to encode a picture by
    assert passed <= found.costs.keys()
    assert all(points[0].seconds > 0 for points in found.points.values())
    assert read_calibration(settings.data_dir, lambda: setup_of(settings).model_copy(update={"threads": 99})) is None
