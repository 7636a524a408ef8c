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

from evals.draw import DrawSettings, cascade_of, default_settings
from evals.inpainting.cases import PROMPTS, SHARES, SIZE_PX, Case, Prompt, Size
from evals.judges.judges import Seen, SeenObject
from evals.kept import Kept, digest
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
from models.samplers import GuidanceMode

GOAL = 0.7
SHOWN = 4
"""Cases of each size in the grid."""
TRUTH = "the picture as it was"
"""What the judge finds where nothing was masked: more cannot be hoped for."""
GREY = np.uint8(128)
Show = Callable[[str, float, float], None]
"""Called as show(doing, done, total)."""


@dataclass(frozen=True)
class How:
    """How cases are painted. modes: of guidance; with those after the first, only the object's name is asked for."""

    conditioning: Conditioning = "prior"
    device: str = "cpu"
    modes: tuple[GuidanceMode, ...] = ("constant",)


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
    models: Mapping[str, Path], cases: Sequence[Case], judge: Judge, out: Path, how: How | None = None, show: Show | None = None
) -> Report:
    """Measure and write `inpainting.json`, `.md` and `.png` into `out`, where what is painted is kept too.

    models: folder by name, as the tables shall call them; of the first two the difference is told, case by case. All draw with
    the settings of the first, which alone is measured with the other modes of guidance. Raises ModelError.
    """
    how, settings = how or How(), default_settings(next(iter(models.values())))
    verdicts = found([case.picture for case in cases], cases, judge)
    painted = [Painted(case, TRUTH, "full", case.picture, seen) for case, seen in zip(cases, verdicts, strict=True)]
    for name, folder in models.items():
        painter = Painter(cascade_of(folder, how.device), Kept(folder, out / "kept"), how.conditioning, show)
        painted += painter.paint(name, cases, settings, judge)
        for mode in how.modes[1:] if name == next(iter(models)) else ():
            told = DrawSettings(**{**settings, "guidance_mode": mode})
            painted += painter.paint(f"{name}, {mode}", cases, told, judge, ("simple",))
    tables = {"Named object found inside the mask": shares_table(painted)}
    tables |= {"The difference, case by case": gains_table(painted, *list(models)[:2])} if len(models) > 1 else {}
    first, details = next(iter(models)), [_detail(one) for one in painted]
    figures = [*goals(painted, first), kept(painted)]
    manifest = Kept(models[first], out / "kept").manifest
    report = Report(
        "inpainting", ", ".join(models), manifest, {**settings, "conditioning": how.conditioning}, figures, tables, details
    )
    report.write(out)
    (out / "inpainting.md").write_text(report.to_markdown(), encoding="utf-8")
    picture(painted, cases).save(out / "inpainting.png", optimize=True)
    return report


@dataclass(frozen=True, eq=False)
class Painter:
    """One model, and what it has painted."""

    cascade: Cascade
    kept: Kept
    conditioning: Conditioning = "prior"
    show: Show | None = None

    def paint(
        self,
        name: str,
        cases: Sequence[Case],
        settings: DrawSettings,
        judge: Judge,
        prompts: Sequence[Prompt] = PROMPTS,
    ) -> list[Painted]:
        """Every case with these prompts, at 64 px: the judge sees no more. Raises ModelError."""
        jobs = list(product(prompts, cases))
        tolds = [
            ["inpaint", digest(case.picture, case.mask), case.prompts[prompt], case.seed, dict(settings), self.conditioning]
            for prompt, case in jobs
        ]
        pictures = self.kept.pictures(
            tolds,
            lambda numbers: travel(self.cascade, [self._stand(*jobs[number], settings) for number in numbers]),
            lambda done: None if self.show is None else self.show(f"{name} inpaints", done, len(jobs)),
        )
        verdicts = found(pictures, [case for _, case in jobs], judge)
        return [
            Painted(case, name, prompt, pixels, verdict)
            for (prompt, case), pixels, verdict in zip(jobs, pictures, verdicts, strict=True)
        ]

    def _stand(self, prompt: Prompt, case: Case, settings: DrawSettings) -> Row:
        return stand(self.cascade, case, prompt, settings, self.conditioning)


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
        "inpaint: pictures with every pixel outside the mask as it was",
        bootstrap([one.is_kept for one in painted if one.model != TRUTH]),
        goal=1.0,
    )


def goals(painted: Sequence[Painted], model: str) -> list[Figure]:
    """What was wanted of a model: the named object inside the mask, over all sizes, and by how much more than unasked."""

    def hits(prompt: Prompt) -> list[bool]:
        return [one.is_found for one in painted if (one.model, one.prompt) == (model, prompt)]

    gains = [float(one) - float(other) for one, other in zip(hits("simple"), hits("empty"), strict=True)]
    return [
        Figure("inpaint: object found inside the mask, asked for by its name", bootstrap(hits("simple")), goal=GOAL),
        Figure("inpaint: object found inside the mask, asked for by the whole caption", bootstrap(hits("full")), goal=GOAL),
        Figure("inpaint: found with an empty prompt", bootstrap(hits("empty"))),
        Figure("inpaint: by its name more than with an empty prompt, case by case", bootstrap(gains)),
    ]


def shares_table(painted: Sequence[Painted]) -> str:
    """Markdown: a line for each prompt and model, a column for each mask size."""
    lines = sorted(_asked(painted), key=lambda asked: (asked[0] != TRUTH, PROMPTS.index(asked[1])))
    rows = [
        [model if model == TRUTH else f"{model}, {prompt} prompt"]
        + [str(bootstrap(_hits(painted, size, model, prompt))) for size in _sizes(painted)]
        for model, prompt in lines
    ]
    return markdown_table(("", *_columns(painted)), rows)


def gains_table(painted: Sequence[Painted], first: str, second: str) -> str:
    """Markdown: by how much the first model finds more than the second, each case against itself."""
    rows = []
    for prompt in PROMPTS:
        gains = []
        for size in _sizes(painted):
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
    return [
        f"{size} ({low:.0%} to {high:.0%} of the picture), n = {counts[size]}"
        for size, (low, high) in SHARES.items()
        if counts[size]
    ]


def _sizes(painted: Sequence[Painted]) -> list[Size]:
    return [size for size in SHARES if any(one.case.size == size for one in painted)]


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
