"""`unclip eval failures`: what the paper says goes wrong (DALL·E 2, §7): bound colours, written text, crowds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evals.draw import draw
from evals.judges.judges import Seen
from evals.operations.bench import Bench, pixels_of
from evals.operations.parts import Found
from evals.quality.grids import Cell
from evals.quality.report import Figure, Report
from evals.statistics import bootstrap


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


def measure(bench: Bench, *, seeds: int) -> Found:
    """Draw every probe at some seeds. Raises ModelError."""
    figures, cells, details = [], [], []
    for name, (prompts, is_right, said) in PROBES.items():
        asked = [(prompt, seed) for prompt in prompts for seed in range(seeds)]
        pictures = []
        for number, (prompt, seed) in enumerate(asked, start=1):
            told = ["drawn", prompt, seed, dict(bench.settings)]
            pictures.append(bench.kept.picture(told, lambda p=prompt, s=seed: draw(bench.cascade, p, s, bench.settings).pixels))  # type: ignore[misc]
            bench.tell(f"failures, {name}", number, len(asked))
        right = [is_right(seen) for seen in bench.judges.scene(pixels_of(pictures))]
        figures.append(Figure(f"{name}: {said}", bootstrap(right)))
        cells += [Cell(pixels, prompt, hit) for pixels, (prompt, _), hit in zip(pictures, asked, right, strict=True)]
        details += [
            {"probe": name, "prompt": prompt, "seed": seed, "right": hit}
            for (prompt, seed), hit in zip(asked, right, strict=True)
        ]
    report = Report("failures", bench.cascade.name, bench.kept.manifest, dict(bench.settings), figures, details=details)
    return Found(report, cells, len(cells) // len(PROBES))
