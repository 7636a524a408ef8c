"""Figures go into a page's marked regions, and nowhere else."""

from pathlib import Path

import pytest

from evals.operations.run import PARTS as OPERATIONS
from evals.page import GOALS, REGION, fill, write
from evals.quality.report import Figure, Report
from evals.quality.run import PARTS, WITH_GOALS
from evals.statistics import Interval
from models.errors import ModelError

ROOT = Path(__file__).parents[2]
OTHERS = {GOALS, "speed", "priors", "inpainting", "judges"}


def report(part: str, manifest: str = "abc") -> Report:
    return Report(part, "tiny", manifest, {"steps": 3}, [Figure(f"{part}, found", Interval(0.75, 0.7, 0.8, 40), 0.9)])


def test_a_region_is_filled_and_the_prose_around_it_stays():
    text = "Before.\n<!-- figures: objects -->\nold\n<!-- end -->\nAfter.\n"
    filled = fill(text, lambda kind, name, about: f"new {kind} of {name}\n\n")
    assert filled == "Before.\n<!-- figures: objects -->\nnew figures of objects\n<!-- end -->\nAfter.\n"


def test_a_region_for_which_nothing_was_measured_stays_as_it_is():
    text = "<!-- figures: objects -->\nold\n<!-- end -->"
    assert fill(text, lambda *region: None) == text


def test_a_page_takes_reports_other_tables_and_grids(tmp_path):
    page, figures = tmp_path / "docs/model.md", tmp_path / "figures"
    page.parent.mkdir()
    regions = ["figures: goals", "figures: objects", "figures: priors", "figures: counts", "grid: objects: All: of them"]
    page.write_text("\n".join(f"<!-- {region} -->\n<!-- end -->" for region in regions))
    for part in WITH_GOALS - {"counts"}:
        report(part).write(figures)
    (figures / "priors.md").write_text("two priors")
    (figures / "objects.png").write_bytes(b"picture")
    empty = write(page, figures)
    assert empty == ["goals", "counts"]
    assert page.read_text().count("| objects, found | 75 % (70 to 80) | 40 | ≥ 90 % ✗ |") == 1
    assert "two priors" in page.read_text()
    assert "![All: of them](images/objects.png)" in page.read_text()
    assert (tmp_path / "docs/images/objects.png").read_bytes() == b"picture"


def test_the_table_of_goals_is_whole_or_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: goals -->\nmeasured before\n<!-- end -->")
    for part in sorted(WITH_GOALS):
        assert "measured before" in page.read_text()
        report(part).write(tmp_path)
        write(page, tmp_path)
    assert page.read_text().count("≥ 90 % ✗") == len(WITH_GOALS)
    assert "measured before" not in page.read_text()


def test_a_page_above_the_docs_shows_their_images(tmp_path):
    (tmp_path / "docs/images").mkdir(parents=True)
    (tmp_path / "samples.png").write_bytes(b"picture")
    (tmp_path / "README.md").write_text("<!-- grid: samples: All -->\n<!-- end -->")
    write(tmp_path / "README.md", tmp_path)
    assert "(docs/images/samples.png)" in (tmp_path / "README.md").read_text()


def test_figures_of_two_models_make_no_page(tmp_path):
    report("objects").write(tmp_path)
    report("counts", manifest="def").write(tmp_path)
    (tmp_path / "page.md").write_text("<!-- figures: objects -->\n<!-- end -->")
    with pytest.raises(ModelError, match="different models"):
        write(tmp_path / "page.md", tmp_path)


def test_the_page_about_the_model_has_figures_of_every_part_and_of_nothing_else():
    regions = REGION.findall((ROOT / "docs/model.md").read_text())
    named = {name for _, kind, name, _, _ in regions if kind == "figures"}
    assert named - OTHERS == PARTS.keys() - {"samples"}
    assert all(about for _, kind, _, about, _ in regions if kind == "grid")


def test_the_page_about_operations_shows_every_part():
    regions = REGION.findall((ROOT / "docs/operations.md").read_text())
    named = {name.removeprefix("operations-").replace("inpainting", "inpaint") for _, _, name, _, _ in regions}
    assert named - {GOALS} == set(OPERATIONS)
