"""What each operation is measured by."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evals.inpainting.cases import object_mask
from evals.operations.bench import Bench, Render, pixels_of, psnr
from evals.quality.grids import Cell
from evals.quality.report import Figure, Report
from evals.statistics import Spread, bootstrap, markdown_table
from models.clip.find import find
from models.origin import Along, Stay, Turned, text_diff
from training.data.vocabulary import WORDS
from training.data.words import read_objects

Picture = NDArray[np.uint8]
STEPS = (10, 25, 50)
ETAS, SEEDS = (0.0, 0.25, 0.5, 0.75, 1.0), 3
THETAS = (0.0, 0.25, 0.35, 0.5)
FRAMES = 5
ENDS = 1
"""Levels of 255 by which the end of a way may differ from its source: kernels of other shapes round otherwise."""
Found = tuple[Report, list[Cell]]


def encode(bench: Bench, renders: Sequence[Render]) -> Found:
    """Pictures through (z_i, x_T) and back, by number of steps, against white noise in place of x_T."""
    by_steps: dict[str, list[float]] = {}
    cells: list[Cell] = []
    for render in renders:
        shown = [render.pixels]
        for steps in STEPS:
            row = bench.begin(bench.origin(render.pixels), Stay(), steps=steps, inversion_steps=steps)
            shown += bench.finish(row)
            by_steps.setdefault(f"inverted, {steps} steps", []).append(psnr(shown[-1], render.pixels))
        row = bench.begin(bench.origin(render.pixels, is_inverted=False), Stay(), seed=1)
        shown += bench.finish(row)
        by_steps.setdefault("white noise, 50 steps", []).append(psnr(shown[-1], render.pixels))
        labels = ("true", *by_steps)
        cells += [Cell(pixels, label) for pixels, label in zip(shown, labels, strict=True)]
    rows = []
    for name, values in by_steps.items():
        spread = Spread.of(values)
        rows.append(
            [name, f"{spread.median:.1f}", f"{spread.lower_quartile:.1f} to {spread.upper_quartile:.1f}", str(spread.n)]
        )
    table = markdown_table(("x_T", "median PSNR, dB", "quartiles", "n"), rows)
    details = [dict(zip(by_steps, values, strict=True)) for values in zip(*by_steps.values(), strict=True)]
    return _report(bench, "encode", [], {"Pictures decoded from their own latent, eta 0": table}, details), cells


def vary(bench: Bench, renders: Sequence[Render]) -> Found:
    """Does a variation show the same thing, and do seeds differ, by eta? Also from noise, as Karlo varies."""
    kept: dict[str, list[bool]] = {}
    apart: dict[str, list[float]] = {}
    cells: list[Cell] = []
    for render in renders:
        cells.append(Cell(render.pixels, f"true: {render.concept}"))
        ways = {f"eta {eta:g}": (True, {"eta": eta}) for eta in ETAS}
        ways |= {f"noise, strength {strength:g}": (False, {"strength": strength}) for strength in (0.5, 1.0)}
        for name, (is_inverted, changes) in ways.items():
            origin = bench.origin(render.pixels, is_inverted=is_inverted)
            drawn = bench.finish(*(bench.begin(origin, Stay(), seed=seed, **changes) for seed in range(SEEDS)))
            verdicts = bench.shows(drawn, render.concept)
            kept.setdefault(name, []).extend(verdicts)
            apart.setdefault(name, []).extend(distances(bench, drawn))
            cells.append(Cell(drawn[0], name, verdicts[0]))
    rows = [[name, str(bootstrap(kept[name])), bootstrap(apart[name]).numbers()] for name in kept]
    table = markdown_table(("", "judge still names it", "distance between seeds"), rows)
    figures = [Figure("variations with eta 0.5 whose name the judge keeps", bootstrap(kept["eta 0.5"]), goal=0.8)]
    return _report(bench, "vary", figures, {f"Variations, {SEEDS} seeds of {len(renders)} pictures": table}), cells


def edit(bench: Bench, renders: Sequence[Render]) -> Found:
    """Text diffs from what a picture shows to the next render's name: is the target seen, and until where the source?"""
    phrases = titles()
    target_seen: dict[float, list[bool]] = {theta: [] for theta in THETAS}
    source_seen: dict[float, list[bool]] = {theta: [] for theta in THETAS}
    cells: list[Cell] = []
    for render, other in zip(renders, [*renders[1:], renders[0]], strict=True):
        source, target = phrases[render.concept], phrases[other.concept]
        z_t, z_t0 = (bench.cascade.text.encode([words]).embeds for words in (target, source))
        origin, z_d = bench.origin(render.pixels), text_diff(z_t, z_t0)
        drawn = bench.finish(*(bench.begin(origin, Turned(z_d, theta)) for theta in THETAS))
        for theta, pixels in zip(THETAS, drawn, strict=True):
            source_seen[theta] += bench.shows([pixels], render.concept)
            target_seen[theta] += bench.shows([pixels], other.concept)
            cells.append(Cell(pixels, f"{source} to {target}, theta {theta:g}"))
    rows = [[f"{theta:g}", str(bootstrap(source_seen[theta])), str(bootstrap(target_seen[theta]))] for theta in THETAS]
    best = max(THETAS, key=lambda theta: sum(target_seen[theta]))
    figures = [
        Figure(f"target seen at the best theta, {best:g}", bootstrap(target_seen[best]), goal=0.5),
        Figure("source seen at theta 0", bootstrap(source_seen[0.0]), goal=1.0),
    ]
    table = markdown_table(("theta", "source seen", "target seen"), rows)
    return _report(bench, "edit", figures, {f"Text diffs, n = {len(renders)}": table}), cells


def interpolate(bench: Bench, renders: Sequence[Render]) -> Found:
    """Do the ends of a way between two pictures reproduce them as encoding does?"""
    reproduced: list[bool] = []
    cells: list[Cell] = []
    for render, other in zip(renders, [*renders[1:], renders[0]], strict=True):
        origin = bench.origin(render.pixels, other.pixels)
        shares = [number / (FRAMES - 1) for number in range(FRAMES)]
        drawn = bench.finish(*(bench.begin(origin, Along(share)) for share in shares))
        alone = [bench.finish(bench.begin(bench.origin(one.pixels), Stay()))[0] for one in (render, other)]
        reproduced += [_largest(drawn[0], alone[0]) <= ENDS, _largest(drawn[-1], alone[1]) <= ENDS]
        cells += [Cell(pixels, f"{share:g}") for pixels, share in zip(drawn, shares, strict=True)]
    figures = [Figure(f"ends that are their sources' own reconstruction, to {ENDS} of 255", bootstrap(reproduced), goal=1.0)]
    return _report(bench, "interpolate", figures, {}), cells


def words(bench: Bench, renders: Sequence[Render]) -> Found:
    """Masks by words against the box of the thing named."""
    phrases = titles()
    overlaps: list[float] = []
    cells: list[Cell] = []
    for render in renders:
        for number, placed in enumerate(render.scene.objects):
            true = object_mask(render.owners, number + 1)
            said = phrases.get(placed.concept)
            if said is None or not true.any():
                continue
            found = find(bench.cascade, render.pixels, said)
            overlaps.append(overlap(found, true))
            shown = render.pixels.copy()
            if found is not None:
                shown[~found] = shown[~found] // 2 + 110
            cells.append(Cell(shown, f"{said}: {overlaps[-1]:.2f}", overlaps[-1] >= 0.6))
    figures = [
        Figure("mean overlap (IoU) of a mask by words with the thing's box", bootstrap(overlaps), goal=0.6, unit="number"),
        Figure("masks with an overlap of 0.6 and more", bootstrap([one >= 0.6 for one in overlaps])),
    ]
    return _report(bench, "words", figures, {}), cells


def titles() -> dict[str, str]:
    """What familiar things are called, by their concept."""
    return {one.name: one.phrases[0] for one in read_objects(WORDS)}


def overlap(found: NDArray[np.bool_] | None, true: NDArray[np.bool_]) -> float:
    """Intersection over union; 0 where nothing was found."""
    return 0.0 if found is None else float((found & true).sum() / (found | true).sum())


def distances(bench: Bench, pictures: Sequence[Picture]) -> list[float]:
    """Between each two pictures, one minus the cosine of how the judge sees them."""
    features = bench.judges.features(pixels_of(pictures))
    return [1 - float(features[one] @ features[other]) for one, other in combinations(range(len(pictures)), 2)]


def _largest(one: Picture, other: Picture) -> int:
    return int(np.abs(one.astype(int) - other).max())


def _report(
    bench: Bench, part: str, figures: list[Figure], tables: dict[str, str], details: Sequence[dict[str, float]] = ()
) -> Report:
    settings = {**bench.settings, "steps": 50, "guidance_scale": 1.0}
    return Report(f"operations-{part}", bench.cascade.name, "", settings, figures, tables, list(details))
