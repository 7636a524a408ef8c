"""`unclip eval failures`: what the paper says goes wrong (DALL·E 2, §7): bound colours, written text, crowds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from evals.draw import default_settings, draw
from evals.judges.judges import Judges, Seen
from evals.operations.bench import pixels_of
from evals.quality.grids import Cell, grid
from evals.quality.report import Figure, Report
from evals.statistics import bootstrap
from models.cascade import Cascade


def both_bound(seen: Seen) -> bool:
    """A red thing and a blue thing, and nothing else."""
    return sorted(one.colour or "" for one in seen.objects) == ["blue", "red"]


def anything(seen: Seen) -> bool:
    """At least one thing: whether letters are right, nobody judges but the reader."""
    return bool(seen.objects)


def a_crowd(seen: Seen) -> bool:
    """Five things and more."""
    return len(seen.objects) >= 5


PROBES: Mapping[str, tuple[tuple[str, ...], Callable[[Seen], bool], str]] = {
    "bound": (
        ("a red cube on a blue cube", "a blue apple next to a red banana", "a red car and a blue bus"),
        both_bound,
        "two things, one seen red and one blue",
    ),
    "text": (
        ("a sign that says deep learning", "the word hello", "a book with the title cats"),
        anything,
        "anything at all seen; letters are for the reader to judge",
    ),
    "crowd": (
        ("a crowd of people in a street", "a table full of fruit", "five dogs and three cats in a meadow"),
        a_crowd,
        "five things or more seen",
    ),
}


def run(model: Path, out: Path, *, seeds: int) -> Report:
    """Draw every probe at some seeds; write `failures.json` and `.png` into `out`. Raises ModelError."""
    cascade, judges, settings = Cascade.load(model, threads=1), Judges.load(), default_settings(model)
    figures, cells, details = [], [], []
    for name, (prompts, is_right, said) in PROBES.items():
        asked = [(prompt, seed) for prompt in prompts for seed in range(seeds)]
        pictures = [draw(cascade, prompt, seed, settings).pixels for prompt, seed in asked]
        right = [is_right(seen) for seen in judges.scene(pixels_of(pictures))]
        figures.append(Figure(f"{name}: {said}", bootstrap(right)))
        cells += [Cell(pixels, prompt, hit) for pixels, (prompt, _), hit in zip(pictures, asked, right, strict=True)]
        details += [
            {"probe": name, "prompt": prompt, "seed": seed, "right": hit}
            for (prompt, seed), hit in zip(asked, right, strict=True)
        ]
    report = Report("failures", cascade.name, "", dict(settings), figures, details=details)
    report.write(out)
    grid(cells, columns=3 * seeds, label_lines=3).save(out / "failures.png", optimize=True)
    return report
