"""`unclip eval operations` from end to end: each part is written down as soon as it is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evals.draw import default_settings
from evals.judges.judges import Judges
from evals.operations.bench import Bench, Render, Show, renders_of
from evals.operations.parts import ETAS, FRAMES, STEPS, THETAS, Found, edit, encode, interpolate, vary, words
from evals.quality.grids import grid
from evals.quality.report import Report
from models.cascade import Cascade

PARTS: Mapping[str, Callable[[Bench, Sequence[Render]], Found]] = {
    "encode": encode, "vary": vary, "edit": edit, "interpolate": interpolate, "words": words,
}  # fmt: skip
COLUMNS = {"encode": len(STEPS) + 2, "vary": len(ETAS) + 3, "edit": len(THETAS), "interpolate": FRAMES, "words": 8}
SHOWN = 6
"""Lines of a grid."""


def run(model: Path, data: Path, out: Path, parts: Sequence[str], *, pictures: int, show: Show | None = None) -> list[Report]:
    """Measure and write `operations-PART.json` and `.png` into `out`. pictures: true ones that each part begins at.

    Raises ModelError, DataError.
    """
    bench = Bench(Cascade.load(model, threads=1), Judges.load(), default_settings(model))
    renders, reports = renders_of(data, bench.judges, pictures), []
    for number, part in enumerate(parts):
        if show is not None:
            show(part, number, len(parts))
        report, cells = PARTS[part](bench, renders)
        report.write(out)
        grid(cells[: SHOWN * COLUMNS[part]], columns=COLUMNS[part], label_lines=3).save(
            out / f"{report.part}.png", optimize=True
        )
        reports.append(report)
    return reports
