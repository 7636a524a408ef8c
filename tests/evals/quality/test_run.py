"""`unclip eval quality` from end to end over a tiny model and judges that decide by rule."""

import json
from typing import Any

import pytest
import torch
from PIL import Image

from evals.quality import conditionings, copies, run, samples, settings_curve, skills
from evals.quality.asked import Asked
from evals.quality.exam import Exam, Renders
from evals.quality.pictures import Pictures
from evals.quality.report import Figure, Report
from evals.statistics import Interval
from tests.evals.quality.stand_in import StandIn, bank
from tests.models.tiny import DEFAULTS, write_tiny_model
from training.data.errors import DataError

SETTINGS: Any = DEFAULTS
LISTS = {
    "objects": [Asked("an apple", 1, ("red-apple",)), Asked("a dog", 2, ("dog",))],
    "colours": [Asked("a red cat", 3, ("cat",), colour="red"), Asked("a blue cat", 4, ("cat",), colour="blue")],
    "counts": [Asked("a cat", 5, ("cat",), count=1), Asked("five cats", 6, ("cat",), count=5)],
    "relations": [Asked("a cat above an umbrella", 7, ("cat",), relation="above", other="umbrella")],
    "held-out-relations": [Asked("a cat on a dog", 8, ("cat",), relation="left of", other="dog")],
    "backdrops": [Asked("a cat", 9, ("cat",), backdrop="plain white"), Asked("a cat at sea", 10, ("cat",), backdrop="sea")],
    "captions": [Asked("a cat", 11), Asked("a dog", 12)],
    "copies": [Asked("a cat", 13, ("cat",)), Asked("an umbrella", 14, ("umbrella",))],
    "styles": [Asked("a flat cat", 15, ("cat",), style="flat")],
    "samples": [Asked("a cat", 16)],
}


class TinyExam(Exam):
    bank = bank()

    def asked(self, name, *, whole=False):
        return tuple(LISTS[name])

    def renders(self, count):
        pixels = torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        return Renders(pixels, tuple(f"caption {number}" for number in range(count)))


@pytest.fixture(scope="module")
def exam(tmp_path_factory) -> TinyExam:
    folder = tmp_path_factory.mktemp("quality")
    pictures = Pictures(write_tiny_model(folder / "model"), folder / "pictures")
    return TinyExam(pictures, StandIn(), SETTINGS, folder / "out", data=folder)


def values(report: Report) -> list[float]:
    return [figure.interval.value for figure in report.figures]


def test_names_are_looked_for_among_the_judges_guesses(exam):
    report = skills.names("objects", "objects", 0.9)(exam)
    assert values(report) == [0.5, 0.5]
    assert [detail["right"] for detail in report.details] == [True, False]
    assert (report.model, report.settings["steps"]) == ("tiny", DEFAULTS["steps"])


def test_a_colour_is_right_by_the_object_and_at_all(exam):
    report = skills.colours(exam)
    assert values(report) == [0.5, 0.5]
    assert "| blue | 1 | 0 % (0 to 0) | 0 % (0 to 0) |" in report.tables["By colour"]


def test_counts_have_two_goals(exam):
    assert values(skills.counts(exam)) == [0.5, 1.0, 0.0]


def test_held_out_relations_are_wanted_within_ten_points_of_the_seen_ones():
    assert skills.within_ten_points(0.85) == 0.75


def test_held_out_relations_have_no_goal_where_seen_ones_are_never_drawn(exam):
    report = skills.relations(exam)
    assert [figure.goal for figure in report.figures] == [0.8, None, None, None]
    assert {path.stem for path in exam.out.glob("*relations.png")} == {"relations", "held-out-relations"}


def test_backdrops_are_told_apart_by_kind(exam):
    assert values(skills.backdrops(exam)) == [0.5]


def test_what_the_detector_saw_is_told_with_each_picture(exam):
    assert skills.backdrops(exam).details[1] == {
        "prompt": "a cat at sea", "seed": 10, "right": False, "seen": "red red-apple (0.50, 0.50) on plain white"
    }  # fmt: skip


def test_r_precision_stands_beside_that_of_true_pictures(exam):
    assert values(conditionings.captions(exam)) == [1.0, 1.0]


def test_conditionings_are_compared_on_the_same_captions(exam, monkeypatch):
    monkeypatch.setattr(conditionings, "SEEDS", 2)
    monkeypatch.setattr(conditionings, "TRUE_PICTURES", 20)
    report = conditionings.conditionings(exam)
    assert [figure.interval.n for figure in report.figures] == [2] * 4
    assert [detail["conditioning"] for detail in report.details] == ["tokens", "text", "prior", "true pictures"]
    *drawn_apart, true_apart = (detail["kid"]["value"] for detail in report.details)
    assert max(abs(true_apart), 0.01) < min(drawn_apart)  # chance weights draw nothing that looks like a scene
    drawn = {path.name for path in exam.pictures.folder.iterdir()}
    conditionings.conditionings(exam)
    assert {path.name for path in exam.pictures.folder.iterdir()} == drawn


def test_kid_tells_pictures_apart_by_the_judges_unit_vectors(exam, monkeypatch):
    def unit(self, pixels):
        return torch.nn.functional.normalize(torch.nn.functional.pad(pixels.mean(dim=(2, 3)), (0, 297)))

    monkeypatch.setattr(StandIn, "features", unit)
    monkeypatch.setattr(conditionings, "SEEDS", 2)
    monkeypatch.setattr(conditionings, "TRUE_PICTURES", 20)
    *drawn_apart, true_apart = (detail["kid"]["value"] for detail in conditionings.conditionings(exam).details)
    assert max(abs(true_apart), 0.01) < min(drawn_apart)


def test_a_copy_is_known_by_its_nearest_sprite(exam, monkeypatch):
    monkeypatch.setattr(exam.pictures, "draw", lambda jobs, doing: [sprite_of(job.prompt.split()[-1]) for job in jobs])
    report = copies.copies(exam)
    assert values(report)[:2] == [pytest.approx(1, abs=0.01), 1.0]
    assert [detail["nearest"].split()[0] for detail in report.details] == ["cat", "umbrella"]


def sprite_of(concept: str):
    row = next(row for row, info in enumerate(TinyExam.bank.infos) if info.base == concept)
    return ((copies.on_white(TinyExam.bank.levels[64][row][None])[0] + 1) * 127.5).byte().permute(1, 2, 0).numpy()


def test_a_style_is_known_by_the_concepts_own_sprites(exam):
    report = copies.style_fit(exam)
    assert report.figures[0].interval.n == 1


def test_settings_are_varied_one_at_a_time_and_timed(exam, monkeypatch):
    monkeypatch.setattr(settings_curve, "STEPS", (1,))
    monkeypatch.setattr(settings_curve, "GUIDANCE", ())
    monkeypatch.setattr(settings_curve, "PRIOR_STEPS", ())
    report = settings_curve.steps(exam)
    assert [detail["what"] for detail in report.details] == ["defaults", "decoder steps 1"]
    assert all(detail["seconds"] > 0 for detail in report.details)


def test_the_turbo_decoder_is_a_variant_where_the_model_has_it():
    whats = [what for what, _ in settings_curve.variants(SETTINGS, has_turbo=True)]
    assert whats[0] == "defaults"
    assert whats[-1] == "turbo decoder"


def test_samples_are_large_and_none_is_left_out(exam):
    samples.samples(exam)
    with Image.open(exam.out / "samples.png") as sheet:
        assert sheet.width == samples.COLUMNS * (samples.CELL_PX + 10)


def test_a_report_reads_as_it_was_written(exam):
    report = skills.backdrops(exam)
    assert Report.read(report.write(exam.out)).to_markdown() == report.to_markdown()


def test_parts_are_measured_in_their_order_and_written_down(exam):
    reports = run.run(exam, ["backdrops", "colours"])
    assert [report.part for report in reports] == ["colours", "backdrops"]
    assert json.loads((exam.out / "colours.json").read_text())["figures"][0]["goal"] == 0.9


def test_the_parts_whose_figures_have_goals_are_known(exam):
    reports = run.run(exam, [*run.WITH_GOALS, "captions", "style-fit"])
    assert {report.part for report in reports if any(figure.goal for figure in report.figures)} == run.WITH_GOALS


def test_a_part_that_needs_the_data_says_so_before_anything_is_drawn(exam):
    without = Exam(exam.pictures, exam.judges, exam.settings, exam.out)
    with pytest.raises(DataError, match="copies"):
        run.run(without, ["objects", "copies"])


def test_a_met_goal_is_ticked():
    assert Figure("x", Interval(0.9, 0.8, 1.0, 10), 0.9).cells() == ("x", "90 % (80 to 100)", "10", "≥ 90 % ✓")
