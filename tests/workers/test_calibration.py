"""What is concluded from a machine's measurements, and which ones are believed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.workers.plain import PlainStages
from workers.calibration import FILE, Calibration, Point, Setup, ceiling, read_calibration, write_calibration
from workers.engine import Engine
from workers.pick import Budget

SETUP = Setup(model="tiny", manifest_sha256="ab", device="cpu x86_64", cuda_mode="", threads=2, torch="2.15.0")


def points(*of: tuple[int, float, int]) -> list[Point]:
    return [Point(rows=rows, seconds=seconds, peak_bytes=peak_bytes) for rows, seconds, peak_bytes in of]


def calibration(**stages: list[Point]) -> Calibration:
    return Calibration(setup=SETUP, measured_at=datetime(2026, 11, 22, tzinfo=UTC), free_bytes=1000, points=stages)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (points((1, 1.0, 10), (2, 2.0, 20), (4, 4.0, 40)), 1),  # a CPU: nothing gained
        (points((1, 1.0, 10), (2, 1.1, 20), (4, 1.2, 40)), 4),  # a GPU that is far from full
        (points((1, 1.0, 10), (2, 1.1, 20), (4, 2.15, 40)), 2),  # full at two
        (points((1, 1.0, 10), (2, 1.1, 700), (4, 1.2, 900)), 2),  # the largest does not fit
        (points((1, 1.0, 900)), 1),  # nothing fits, but one row must run
    ],
)
def test_the_ceiling_is_the_smallest_call_that_is_nearly_as_quick_a_row_as_any_that_fits(found, expected):
    assert ceiling(found, free_bytes=1000) == expected


def test_where_memory_cannot_be_told_speed_alone_decides():
    assert ceiling(points((1, 1.0, 0), (2, 1.0, 0)), free_bytes=0) == 2


def test_costs_are_seconds_of_a_row_in_a_call_of_as_many_as_the_ceiling():
    found = calibration(prior=points((1, 0.4, 1), (4, 0.8, 4)), decoder=points((1, 2.0, 1), (4, 8.0, 4)))
    assert found.ceilings == {"prior": 4, "decoder": 1}
    assert found.costs == {"prior": pytest.approx(0.2), "decoder": 2.0}


def test_a_stage_that_was_not_measured_keeps_its_own_word_in_the_measured_unit():
    found = calibration(prior=points((1, 0.5, 1)), decoder=points((1, 2.0, 1)))
    costs = found.costs_beside({"prior": 1.0, "decoder": 4.0, "dreams": 8.0})
    assert costs == {"prior": 0.5, "decoder": 2.0, "dreams": 4.0}


def test_what_was_written_is_read_back(tmp_path: Path):
    found = calibration(decoder=points((1, 1.0, 10)))
    assert write_calibration(tmp_path / "new", found) == tmp_path / "new" / FILE
    assert read_calibration(tmp_path / "new", lambda: SETUP) == found


@pytest.mark.parametrize(
    "differing", [{"threads": 4}, {"device": "NVIDIA H100"}, {"manifest_sha256": "cd"}, {"torch": "2.16.0"}]
)
def test_what_was_measured_of_another_setup_is_not_believed(tmp_path: Path, differing):
    write_calibration(tmp_path, calibration(decoder=points((1, 1.0, 10))))
    assert read_calibration(tmp_path, lambda: SETUP.model_copy(update=differing)) is None


def test_no_file_and_a_broken_file_mean_the_defaults(tmp_path: Path):
    assert read_calibration(tmp_path, lambda: SETUP) is None
    (tmp_path / FILE).write_text('{"format_version": 1')
    assert read_calibration(tmp_path, lambda: SETUP) is None


def test_an_engine_goes_by_measured_costs():
    engine = Engine(PlainStages(), Budget(4.0, 1.0, 8), costs={"prior": 0.5, "decoder": 3.0, "upsample_256": 9.0})
    assert engine.costs["decoder"] == 3.0
    assert Engine(PlainStages(), Budget(4.0, 1.0, 8)).costs["decoder"] == 1.0
