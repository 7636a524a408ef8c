"""`unclip eval page`: puts measured figures and grids into the marked regions of a page whose prose is written by hand.

    <!-- figures: NAME --> … <!-- end -->       `NAME.md` of the figures' folder, or the report `NAME.json` of `eval quality`
    <!-- grid: NAME: TEXT --> … <!-- end -->    the picture `NAME.png` of that folder, copied beside the page, TEXT about it

The region `goals` is all figures that have one, once all parts with such figures were measured. A region for which the folder
has nothing stays as it is.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from evals.quality.report import Report, figures_table
from evals.quality.run import PARTS, WITH_GOALS
from models.errors import ModelError

REGION = re.compile(r"(<!-- (figures|grid): ([a-z0-9-]+)(?:: (.*?))? -->\n).*?(<!-- end -->)", re.DOTALL)
GOALS = "goals"
Fill = Callable[[str, str, str], str | None]
"""From a region's kind, name and text to what it holds; None: nothing is known of it."""


def write(page: Path, figures: Path) -> list[str]:
    """Fill the page's regions and copy its grids. Returns the names of regions for which the folder has nothing.

    Raises ModelError where the reports are of different models.
    """
    reports, empty = read_reports(figures), []

    def content(kind: str, name: str, text: str) -> str | None:
        made = _grid(page, figures, name, text) if kind == "grid" else _table(figures, reports, name)
        if made is None:
            empty.append(name)
        return made

    page.write_text(fill(page.read_text(encoding="utf-8"), content), encoding="utf-8")
    return empty


def fill(text: str, content: Fill) -> str:
    """The page with each region's content in place of what was there."""

    def region(match: re.Match[str]) -> str:
        begin, kind, name, about, end = match.groups()
        made = content(kind, name, about or name)
        return match[0] if made is None else f"{begin}{made.strip()}\n{end}"

    return REGION.sub(region, text)


def read_reports(figures: Path) -> dict[str, Report]:
    """The reports in a folder by part. Raises ModelError where they are of different models: such figures make no page."""
    reports = {part: Report.read(figures / f"{part}.json") for part in PARTS if (figures / f"{part}.json").is_file()}
    if len({report.manifest for report in reports.values()}) > 1:
        models = ", ".join(f"{part}: {report.model} {report.manifest[:8]}" for part, report in reports.items())
        raise ModelError(f"the reports in {figures} are of different models ({models}); measure anew or take other folders")
    return reports


def goals(reports: dict[str, Report]) -> str:
    """How the pictures were drawn, and all figures that have a goal."""
    first = next(iter(reports.values()))
    settings = ", ".join(f"{name} {value}" for name, value in first.settings.items())
    table = figures_table([figure for report in reports.values() for figure in report.figures if figure.goal is not None])
    return f"Model `{first.model}` (manifest {first.manifest[:12]}), {settings}.\n\n{table}"


def _table(figures: Path, reports: dict[str, Report], name: str) -> str | None:
    if name == GOALS:
        return goals(reports) if reports.keys() >= WITH_GOALS else None
    if (figures / f"{name}.md").is_file():
        return (figures / f"{name}.md").read_text(encoding="utf-8")
    return reports[name].to_markdown() if name in reports else None


def _grid(page: Path, figures: Path, name: str, text: str) -> str | None:
    if not (figures / f"{name}.png").is_file():
        return None
    images = next((place for place in (page.parent / "images", page.parent / "docs/images") if place.is_dir()), None)
    images = images or page.parent / "images"
    images.mkdir(exist_ok=True)
    shutil.copyfile(figures / f"{name}.png", images / f"{name}.png")
    return f"![{text}]({(images / f'{name}.png').relative_to(page.parent).as_posix()})"
