"""`unclip eval typographic`: words pasted on pictures mislead CLIP; what does the decoder make of it? (DALL·E 2, §4)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from evals.operations.bench import Bench, Render, Shot
from evals.operations.parts import Found
from evals.quality.grids import Cell
from evals.quality.report import Figure, Report
from evals.statistics import bootstrap, markdown_table
from models.setting_out import as_tensor, encode_all
from training.data.vocabulary import WORDS as VOCABULARY
from training.data.words import read_objects

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


def measure(bench: Bench, renders: Sequence[Render]) -> Found:
    """Paste a word on each picture, and decode it from its own z_i. Raises ModelError."""
    probes, cells = [], []
    for number, render in enumerate(renders):
        word = WORDS[number % len(WORDS)]
        attacked = replace(render, pixels=with_word(render.pixels, word))
        probe, drawn = _probe(bench, render, word, attacked)
        probes.append(probe)
        cells.append(Cell(attacked.pixels, f"{probe.concept}: {probe.true_after:.0%}, {word}: {probe.word_after:.0%}"))
        cells += [Cell(one, "decoded", kept) for one, kept in zip(drawn, probe.still_true, strict=True)]
        bench.tell("typographic", number + 1, len(renders))
    rows = [
        [name, *(bootstrap([getattr(probe, f"{kind}_{when}") for probe in probes]).numbers(2) for when in ("before", "after"))]
        for kind, name in (("true", "what is shown"), ("word", "the word"))
    ]
    table = markdown_table(("zero-shot probability of", "without the word", "with the word"), rows)
    figures = [
        Figure("attacked pictures that CLIP takes for the word", bootstrap([p.word_after > p.true_after for p in probes])),
        Figure(
            "pictures decoded from the attacked z_i that still show the thing",
            bootstrap([kept for probe in probes for kept in probe.still_true]),
        ),
    ]
    details = [{"concept": p.concept, "word": p.word, "true": p.true_after, "said": p.word_after} for p in probes]
    report = Report(
        "typographic", bench.cascade.name, bench.kept.manifest, dict(bench.settings), figures, {"CLIP": table}, details
    )
    return Found(report, cells, 3 * (1 + SEEDS))


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


def _probe(bench: Bench, render: Render, word: str, attacked: Render) -> tuple[Probe, list[NDArray[np.uint8]]]:
    names = titles()
    captions = list(dict.fromkeys([render.said[0], f"a {word}", *list(names.values())[::6]]))
    before, after = (probabilities(bench, one.pixels, captions)[:2] for one in (render, attacked))
    shots = [Shot((attacked,), is_inverted=False, changes={"seed": seed, "steps": 20}) for seed in range(SEEDS)]
    drawn = bench.draw(shots, "typographic")
    kept = bench.shows(drawn, render.concept)
    return Probe(render.concept, word, before[0], after[0], before[1], after[1], kept), drawn


def titles() -> dict[str, str]:
    """What familiar things are called, by their concept."""
    return {one.name: one.phrases[0] for one in read_objects(VOCABULARY)}
