"""Captions at large: R-precision over all of them, and what each conditioning of the decoder adds (DALL·E 2, §5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from evals.quality.asked import Asked
from evals.quality.conditioning import CONDITIONINGS, Conditioning
from evals.quality.exam import Exam, pixels_of
from evals.quality.grids import Cell
from evals.quality.measures import CANDIDATES, kid, pairwise_distances, r_precision, stretched
from evals.quality.report import Figure, Report
from evals.statistics import Interval, bootstrap, markdown_table

COMPARED, VARIED, SEEDS = 400, 40, 8
"""Of the captions, how many each conditioning draws, and how many of those at how many seeds."""
TRUE_PICTURES = 1_000
GRID_ROWS = 4
TITLES = {"tokens": "the caption alone", "text": "caption and text embedding", "prior": "caption and the prior's z_i"}


def captions(exam: Exam) -> Report:
    """R-precision by a CLIP that is not the cascade's; for comparison, that of true pictures where the data are there."""
    asked = exam.asked("captions")
    pictures = exam.draw(asked, "captions")
    told = [one.prompt for one in asked]
    right = r_precision(exam.judges.matches(pixels_of(pictures), told), told)
    among = f"R-precision among {min(CANDIDATES, len(told))} captions"
    figures = [Figure(among, bootstrap(right))]
    if exam.data is not None:
        renders = exam.renders(len(asked))
        true = r_precision(exam.judges.matches(renders.pixels, renders.captions), renders.captions)
        figures.append(Figure(f"{among}, of true pictures", bootstrap(true)))
    exam.show("captions", [Cell(*cell) for cell in zip(pictures, told, right, strict=True)], columns=8, label_lines=3)
    details = [{"prompt": one.prompt, "seed": one.seed, "right": hit} for one, hit in zip(asked, right, strict=True)]
    return exam.report("captions", figures, details=details)


@dataclass(frozen=True)
class Conditioned:
    """What one conditioning drew: hits of R-precision, distances between the seeds of each prompt, distance to true ones."""

    hits: list[bool]
    distances: list[float]
    kid: Interval


def conditionings(exam: Exam) -> Report:
    """Caption match, diversity and fidelity of tokens only, text embedding and prior, on the same captions and seeds."""
    asked = exam.asked("captions")[: max(1, round(COMPARED * exam.share))]
    varied = asked[: max(1, round(VARIED * exam.share))]
    renders = exam.renders(TRUE_PICTURES + len(asked))
    true = _features(exam, renders.pixels[:TRUE_PICTURES])
    found = {name: _draw(exam, name, asked, varied, true) for name in CONDITIONINGS}
    rows: list[list[str]] = []
    details: list[dict[str, Any]] = []
    for name, one in found.items():
        match, diversity = bootstrap(one.hits), bootstrap(one.distances)
        rows.append([TITLES[name], str(match), diversity.numbers(), one.kid.numbers()])
        measured = {"r_precision": asdict(match), "diversity": asdict(diversity), "kid": asdict(one.kid)}
        details.append({"conditioning": name, **measured})
    pixels, told = renders.pixels[TRUE_PICTURES:], renders.captions[TRUE_PICTURES:]
    match, apart = bootstrap(r_precision(exam.judges.matches(pixels, told), told)), kid(_features(exam, pixels), true)
    rows.append(["true pictures of other scenes", str(match), "", apart.numbers()])
    details.append({"conditioning": "true pictures", "r_precision": asdict(match), "kid": asdict(apart)})
    figures = [figure for other in ("tokens", "text") for figure in _against(found["prior"], found[other], TITLES[other])]
    _show(exam, varied)
    n = f"R-precision and KID over {len(asked)} captions, diversity over {len(varied)} of them at {SEEDS} seeds"
    table = markdown_table(("conditioning", "R-precision", "diversity", "KID"), rows)
    return exam.report("conditionings", figures, tables={f"The three conditionings ({n})": table}, details=details)


def _draw(
    exam: Exam, conditioning: Conditioning, asked: Sequence[Asked], varied: Sequence[Asked], true: torch.Tensor
) -> Conditioned:
    pixels = pixels_of(exam.draw(asked, f"conditionings: {conditioning}", conditioning=conditioning))
    told = [one.prompt for one in asked]
    seeds = [seed for one in varied for seed in seeds_of(one)]
    several = pixels_of(exam.draw(seeds, f"conditionings: {conditioning}, seeds", conditioning=conditioning))
    return Conditioned(
        hits=r_precision(exam.judges.matches(pixels, told), told),
        distances=pairwise_distances(_features(exam, several).reshape(len(varied), SEEDS, -1)),
        kid=kid(_features(exam, pixels), true),
    )


def _features(exam: Exam, pixels: torch.Tensor) -> torch.Tensor:
    return stretched(exam.judges.features(pixels))


def seeds_of(asked: Asked) -> list[Asked]:
    """The same prompt at several seeds, its own first."""
    return [asked.at((asked.seed + step) % 2**32) for step in range(SEEDS)]


def _against(prior: Conditioned, other: Conditioned, title: str) -> list[Figure]:
    """The paper's claim, paired by caption: what the prior adds in diversity, and what it costs in caption match."""
    more = [one - two for one, two in zip(prior.distances, other.distances, strict=True)]
    match = [float(one) - float(two) for one, two in zip(prior.hits, other.hits, strict=True)]
    return [
        Figure(f"the prior, against {title}: added distance between seeds", bootstrap(more), unit="number"),
        Figure(f"the prior, against {title}: added R-precision", bootstrap(match), unit="number"),
    ]


def _show(exam: Exam, varied: Sequence[Asked]) -> None:
    """For the first captions a row of seeds for each conditioning."""
    cells = []
    for one in varied[:GRID_ROWS]:
        for name in CONDITIONINGS:
            pictures = exam.draw(seeds_of(one), "grid", conditioning=name)
            labels = [f"{TITLES[name]}: {one.prompt}"] + [""] * (SEEDS - 1)
            cells += [Cell(*cell) for cell in zip(pictures, labels, strict=True)]
    exam.show("conditionings", cells, columns=SEEDS, label_lines=3)
