"""`unclip eval operations` from end to end: each part is written down as soon as it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from evals import failures, typographic
from evals.inpainting.cases import draw_cases
from evals.inpainting.measure import How
from evals.inpainting.measure import run as inpaint
from evals.operations import gallery, parts
from evals.operations.bench import EVERYDAY, FAMILIAR, PAIRS, SIZE_PX, Bench, Render, Show, renders_of
from evals.operations.parts import Found
from evals.operations.wide import wide
from evals.quality.grids import grid
from evals.quality.report import Report, figures_table
from training.data.shares import Shares
from training.data.sprite_bank import SpriteBank

SHOWN, TYPED = 6, 12
"""Lines of a grid; pictures on which words are pasted."""
FROM_RENDERS = {
    "encode": parts.encode, "vary": parts.vary, "edit": parts.edit, "interpolate": parts.interpolate,
    "upscale": gallery.enlarged, "conditionings": gallery.conditionings, "guidance": gallery.guidance,
}  # fmt: skip
PARTS = (
    "encode", "words", "inpaint", "vary", "edit", "interpolate",
    "everyday", "guidance", "conditionings", "upscale", "typographic", "failures",
)  # fmt: skip
"""In the order in which they are measured."""


@dataclass(frozen=True, eq=False)
class Session:
    """One run. pictures: true ones that a part begins at. seeds: of the failure probes."""

    model: Path
    data: Path
    out: Path
    pictures: int
    show: Show | None = None
    seeds: int = 2

    def measure(self, part: str) -> Report:
        """One part; its grid is saved, and its figures are written down as JSON and Markdown. Raises ModelError, DataError."""
        if part == "inpaint":
            cases = draw_cases(self.bank, self.bench.judges.group, max(1, self.pictures * 2 // 5), is_familiar=True)
            modes = How(modes=("constant", "interval", "oscillating"))
            return inpaint({self.bench.cascade.name: self.model}, cases, self.bench.judges, self.out, modes, self.show)
        found = self._found(part)
        found.report.write(self.out)
        (self.out / f"{found.report.part}.md").write_text(found.report.to_markdown(), encoding="utf-8")
        sheet = grid(found.cells[: SHOWN * found.columns], columns=found.columns, label_lines=3)
        sheet.save(self.out / f"{found.report.part}.png", optimize=True)
        return found.report

    @cached_property
    def bench(self) -> Bench:
        """The model and the judges."""
        return Bench.open(self.model, self.out, self.show)

    @cached_property
    def bank(self) -> SpriteBank:
        """The sprites at the decoder's size."""
        return SpriteBank.load(self.data, SIZE_PX)

    @cached_property
    def familiar(self) -> list[Render]:
        """Familiar things, each alone on white."""
        return self._renders(FAMILIAR, self.pictures)

    def _found(self, part: str) -> Found:
        if part == "failures":
            return failures.measure(self.bench, seeds=self.seeds)
        if part == "typographic":
            return typographic.measure(self.bench, self.familiar[:TYPED])
        if part == "words":
            return parts.words(self.bench, self.familiar, self._renders(PAIRS, max(2, self.pictures // 2)))
        if part == "everyday":
            return wide(self.bench, self._renders(EVERYDAY, max(3, self.pictures // 4)))
        return FROM_RENDERS[part](self.bench, self.familiar)

    def _renders(self, shares: Shares, count: int) -> list[Render]:
        return renders_of(self.bank, self.bench.judges, count, shares)


def run(session: Session, wanted: Sequence[str]) -> list[Report]:
    """Measure those parts in their order. All figures with a goal that OUT holds of this model go into `operations-goals.md`.

    Raises ModelError, DataError.
    """
    reports = [session.measure(part) for part in PARTS if part in wanted]
    write_goals(session.out, session.bench.kept.manifest)
    return reports


def write_goals(out: Path, manifest: str) -> None:
    """The figures that have a goal, of every part that was measured on the model of this manifest."""
    names = [*(f"operations-{part}" for part in PARTS if part != "everyday"), "inpainting"]
    reports = [Report.read(out / f"{name}.json") for name in names if (out / f"{name}.json").is_file()]
    reports = [report for report in reports if report.manifest == manifest]
    if reports:
        table = figures_table([figure for report in reports for figure in report.figures if figure.goal is not None])
        said = f"Model `{reports[0].model}` (manifest {manifest[:12]}).\n\n{table}"
        (out / "operations-goals.md").write_text(said, encoding="utf-8")
