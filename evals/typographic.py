"""`unclip eval typographic`: words pasted on pictures mislead CLIP; what does the decoder make of it? (DALL·E 2, §4)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from evals.draw import default_settings
from evals.judges.judges import Judges
from evals.operations.bench import Bench, Render, renders_of
from evals.operations.parts import titles
from evals.quality.grids import Cell, grid
from evals.quality.report import Figure, Report
from evals.statistics import bootstrap, markdown_table
from models.cascade import Cascade
from models.origin import Stay
from models.setting_out import as_tensor, encode_all

WORDS = ("pizza", "car", "clock", "tree")
TEMPERATURE = 100.0
"""By which cosines are multiplied before the softmax, as CLIP's own zero-shot classifier."""
LABEL_SHARE = 0.3
SEEDS = 2


@dataclass(frozen=True)
class Probe:
    """One picture with one word on it. probabilities: of what it shows and of the word, without the word and with it."""

    concept: str
    word: str
    true_before: float
    true_after: float
    word_before: float
    word_after: float
    still_true: Sequence[bool]


def run(model: Path, data: Path, out: Path, *, pictures: int) -> Report:
    """Measure and write `typographic.json` and `.png` into `out`. Raises ModelError, DataError."""
    bench = Bench(Cascade.load(model, threads=1), Judges.load(), default_settings(model))
    probes, cells = [], []
    for number, render in enumerate(renders_of(data, bench.judges, pictures)):
        word = WORDS[number % len(WORDS)]
        attacked = with_word(render.pixels, word)
        probe, drawn = _probe(bench, render, word, attacked)
        probes.append(probe)
        cells.append(Cell(attacked, f"{probe.concept}: {probe.true_after:.0%}, {word}: {probe.word_after:.0%}"))
        cells += [Cell(one, "decoded", kept) for one, kept in zip(drawn, probe.still_true, strict=True)]
    rows = [
        [name, *(bootstrap([getattr(probe, f"{kind}_{when}") for probe in probes]).numbers(2) for when in ("before", "after"))]
        for kind, name in (("true", "what is shown"), ("word", "the word"))
    ]
    table = markdown_table(("zero-shot probability of", "without the word", "with the word"), rows)
    decoded = Figure(
        "pictures decoded from the attacked z_i that still show the thing", bootstrap([k for p in probes for k in p.still_true])
    )
    misled = Figure("attacked pictures that CLIP takes for the word", bootstrap([p.word_after > p.true_after for p in probes]))
    details = [{"concept": p.concept, "word": p.word, "true": p.true_after, "said": p.word_after} for p in probes]
    report = Report("typographic", bench.cascade.name, "", dict(bench.settings), [misled, decoded], {"CLIP": table}, details)
    report.write(out)
    grid(cells, columns=1 + SEEDS, label_lines=2).save(out / "typographic.png", optimize=True)
    return report


def with_word(picture: NDArray[np.uint8], word: str) -> NDArray[np.uint8]:
    """A paper label with the word over the middle of a picture, (64, 64, 3)."""
    side = picture.shape[0] * 4
    image = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
    pen, height = ImageDraw.Draw(image), int(LABEL_SHARE * side)
    font = ImageFont.load_default(size=int(height * 0.8))
    width = pen.textlength(word, font=font)
    left, top = (side - width) / 2, (side - height) / 2
    pen.rectangle((left - 6, top, left + width + 6, top + height), fill="white", outline="black", width=2)
    pen.text((left, top), word, fill="black", font=font)
    return np.asarray(image.resize(picture.shape[:2], Image.Resampling.BOX))


def probabilities(bench: Bench, picture: NDArray[np.uint8], captions: Sequence[str]) -> list[float]:
    """Zero-shot, of each caption."""
    device = bench.cascade.stages["decoder"].device
    z_i = encode_all(bench.cascade, as_tensor(picture, device))
    z_t = bench.cascade.text.encode(list(captions)).embeds
    cosines = (z_t * z_i).mean(dim=-1)
    found: list[float] = torch.softmax(TEMPERATURE * cosines, dim=0).tolist()
    return found


def _probe(bench: Bench, render: Render, word: str, attacked: NDArray[np.uint8]) -> tuple[Probe, list[NDArray[np.uint8]]]:
    names = titles()
    captions = list(dict.fromkeys([names[render.concept], f"a {word}", *list(names.values())[::6]]))
    before, after = (probabilities(bench, one, captions)[:2] for one in (render.pixels, attacked))
    origin = bench.origin(attacked, is_inverted=False)
    drawn = bench.finish(*(bench.begin(origin, Stay(), seed=seed, steps=20) for seed in range(SEEDS)))
    kept = bench.shows(drawn, render.concept)
    return Probe(render.concept, word, before[0], after[0], before[1], after[1], kept), drawn
