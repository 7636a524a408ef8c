"""Models inpaint the same cases with the same seeds; a judge says what it sees inside each mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evals.draw import DrawSettings, default_settings
from evals.inpainting.cases import PROMPTS, SHARES, SIZE_PX, Case, Prompt, Size
from evals.judges.judges import Seen, SeenObject
from evals.quality.conditioning import Conditioning, admit
from evals.quality.exam import pixels_of
from evals.quality.grids import Cell, grid
from evals.quality.report import Figure, Report
from evals.quality.verdicts import AMONG
from evals.statistics import bootstrap, markdown_table
from models.cascade import Cascade, to_pixels
from models.errors import ModelError
from models.inpainting import Inpainting
from models.row import DONE, DrawRequest, Row

CPU_ROWS, CUDA_ROWS = 1, 64
SHOWN = 4
"""Cases of each size in the grid."""
TRUTH = "the picture as it was"
"""What the judge finds where nothing was masked: more cannot be hoped for."""
GREY = np.uint8(128)
Show = Callable[[str, float, float], None]
"""Called as show(doing, done, total)."""


class Judge(Protocol):
    """What looks for objects; trained apart from the models."""

    def scene(self, pixels: torch.Tensor) -> Sequence[Seen]:
        """The objects of each picture (B, 3, 64, 64) in [-1, 1]."""
        ...

    def group(self, concept: str) -> str:
        """The group of look-alikes that a concept is in. Raises KeyError for one that is not known."""
        ...


@dataclass(frozen=True, eq=False)
class Painted:
    """One inpainted case. is_found: the judge sees what was named inside the mask."""

    case: Case
    model: str
    prompt: Prompt
    pixels: NDArray[np.uint8]
    is_found: bool

    @property
    def is_kept(self) -> bool:
        """Whether every known pixel is as it was."""
        return bool(np.array_equal(self.pixels[~self.case.mask], self.case.picture[~self.case.mask]))


def run(
    models: Mapping[str, Path],
    cases: Sequence[Case],
    judge: Judge,
    out: Path,
    *,
    conditioning: Conditioning = "prior",
    device: str = "cpu",
    show: Show | None = None,
) -> Report:
    """Measure and write `inpainting.json`, `.md` and `.png` into `out`.

    models: folder by name, as the tables shall call them; of the first two the difference is told, case by case. All draw with
    the settings of the first. Raises ModelError.
    """
    settings = default_settings(next(iter(models.values())))
    verdicts = found([case.picture for case in cases], cases, judge)
    painted = [Painted(case, TRUTH, "full", case.picture, seen) for case, seen in zip(cases, verdicts, strict=True)]
    for name, folder in models.items():
        cascade = Cascade.load(folder, device=device, threads=1)
        painted += paint_all(cascade, name, cases, settings, judge, conditioning=conditioning, show=show)
    tables = {"Named object found inside the mask": shares_table(painted)}
    if len(models) > 1:
        tables["The difference, case by case"] = gains_table(painted, *list(models)[:2])
    told, details = {**settings, "conditioning": conditioning}, [_detail(one) for one in painted]
    report = Report("inpainting", ", ".join(models), "", told, [kept(painted)], tables, details)
    report.write(out)
    (out / "inpainting.md").write_text(report.to_markdown(), encoding="utf-8")
    picture(painted, cases).save(out / "inpainting.png", optimize=True)
    return report


def paint_all(
    cascade: Cascade,
    name: str,
    cases: Sequence[Case],
    settings: DrawSettings,
    judge: Judge,
    *,
    conditioning: Conditioning = "prior",
    show: Show | None = None,
) -> list[Painted]:
    """Every case with every prompt, at 64 px: the judge sees no more. Raises ModelError."""
    jobs = list(product(PROMPTS, cases))
    pictures: list[NDArray[np.uint8]] = []
    together = CPU_ROWS if torch.device(cascade.stages["decoder"].device).type == "cpu" else CUDA_ROWS
    for start in range(0, len(jobs), together):
        rows = [stand(cascade, case, prompt, settings, conditioning) for prompt, case in jobs[start : start + together]]
        pictures += travel(cascade, rows)
        if show is not None:
            show(f"{name} inpaints", len(pictures), len(jobs))
    verdicts = found(pictures, [case for _, case in jobs], judge)
    return [
        Painted(case, name, prompt, pixels, verdict)
        for (prompt, case), pixels, verdict in zip(jobs, pictures, verdicts, strict=True)
    ]


def stand(cascade: Cascade, case: Case, prompt: Prompt, settings: DrawSettings, conditioning: Conditioning) -> Row:
    """The case's row before its first step; its way ends at the decoder."""
    inpainting = Inpainting(case.picture, case.mask)
    row = admit(cascade, DrawRequest(case.prompts[prompt], case.seed, inpainting=inpainting, **settings), conditioning)
    row.route = tuple(stage for stage in row.route if not stage.startswith("upsample"))
    return row


def travel(cascade: Cascade, rows: Sequence[Row]) -> list[NDArray[np.uint8]]:
    """The small pictures of rows that travel together, (64, 64, 3). Raises ModelError where one fails."""
    while waiting := [row for row in rows if row.stage != DONE]:
        stage = waiting[0].stage
        cascade.stages[stage].run([row for row in waiting if row.stage == stage])
        if failed := next((row for row in rows if row.failure is not None), None):
            raise ModelError(f"{failed.request.prompt!r} with seed {failed.request.seed} failed: {failed.failure}")
    return [to_pixels(row.small[0]) for row in rows if row.small is not None]


def found(pictures: Sequence[NDArray[np.uint8]], cases: Sequence[Case], judge: Judge) -> list[bool]:
    """For each picture: is an object centred inside the mask whose first guesses hold the case's concept?"""
    seen = judge.scene(pixels_of(pictures))
    return [
        any(is_inside(one, case) and judge.group(case.concept) in one.likely[:AMONG] for one in of.objects)
        for case, of in zip(cases, seen, strict=True)
    ]


def is_inside(seen: SeenObject, case: Case) -> bool:
    """Whether the centre of what is seen lies in the mask."""
    row, column = (min(max(int(share * SIZE_PX), 0), SIZE_PX - 1) for share in (seen.y, seen.x))
    return bool(case.mask[row, column])


def kept(painted: Sequence[Painted]) -> Figure:
    """The share of inpainted pictures that kept every known pixel as it was."""
    return Figure(
        "pictures with every known pixel as it was", bootstrap([one.is_kept for one in painted if one.model != TRUTH])
    )


def shares_table(painted: Sequence[Painted]) -> str:
    """Markdown: a line for each prompt and model, a column for each mask size."""
    lines = sorted(_asked(painted), key=lambda asked: (asked[0] != TRUTH, PROMPTS.index(asked[1])))
    rows = [
        [model if model == TRUTH else f"{model}, {prompt} prompt"]
        + [str(bootstrap(_hits(painted, size, model, prompt))) for size in SHARES]
        for model, prompt in lines
    ]
    return markdown_table(("", *_columns(painted)), rows)


def gains_table(painted: Sequence[Painted], first: str, second: str) -> str:
    """Markdown: by how much the first model finds more than the second, each case against itself."""
    rows = []
    for prompt in PROMPTS:
        gains = []
        for size in SHARES:
            pairs = zip(*(_hits(painted, size, model, prompt) for model in (first, second)), strict=True)
            gains.append(str(bootstrap([float(one) - float(other) for one, other in pairs])))
        rows.append([f"{first} minus {second}, {prompt} prompt", *gains])
    return markdown_table(("", *_columns(painted)), rows)


def picture(painted: Sequence[Painted], cases: Sequence[Case]) -> Image.Image:
    """Some cases of each size: what the net is told, what was there, and what each model paints for each prompt."""
    cells = []
    for size in SHARES:
        for case in [case for case in cases if case.size == size][:SHOWN]:
            told = np.where(case.mask[..., None], GREY, case.picture)
            cells.append(Cell(told, case.prompts["full"]))
            cells += [Cell(one.pixels, _label(one), one.is_found) for one in painted if one.case is case]
    return grid(cells, columns=1 + len(_asked(painted)))


def _columns(painted: Sequence[Painted]) -> list[str]:
    counts = {size: len({id(one.case) for one in painted if one.case.size == size}) for size in SHARES}
    return [f"{size} ({low:.0%} to {high:.0%} of the picture), n = {counts[size]}" for size, (low, high) in SHARES.items()]


def _label(one: Painted) -> str:
    return one.model if one.model == TRUTH else f"{one.model}: {one.case.prompts[one.prompt] or 'empty'}"


def _asked(painted: Sequence[Painted]) -> list[tuple[str, Prompt]]:
    return list(dict.fromkeys((one.model, one.prompt) for one in painted))


def _hits(painted: Sequence[Painted], size: Size, model: str, prompt: Prompt) -> list[bool]:
    return [one.is_found for one in painted if (one.case.size, one.model, one.prompt) == (size, model, prompt)]


def _detail(one: Painted) -> dict[str, Any]:
    case = one.case
    return {
        "model": one.model, "size": case.size, "prompt": case.prompts[one.prompt], "asked": one.prompt,
        "concept": case.concept, "seed": case.seed, "found": one.is_found,
    }  # fmt: skip
