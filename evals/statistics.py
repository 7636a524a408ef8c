"""The few statistics that the reports share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A share with its 95 % interval, all in [0, 1]."""

    share: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.share:.0%} ({self.low:.0%} to {self.high:.0%})"


def bootstrap(hits: Sequence[bool], *, resamples: int = 10_000, seed: int = 0) -> Interval:
    """The share of hits and its 95 % percentile interval (Efron 1979), over objects drawn again with replacement."""
    values = np.asarray(hits, dtype=np.float64)
    if values.size == 0:
        raise ValueError("no hits and no misses: there is nothing to resample")
    picks = np.random.default_rng(seed).integers(values.size, size=(resamples, values.size))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


@dataclass(frozen=True)
class Spread:
    """Median and the quartiles around it, in the unit of the values."""

    median: float
    lower_quartile: float
    upper_quartile: float
    n: int

    @property
    def quartiles(self) -> str:
        """As a table shows them: "0.123–0.130"."""
        return f"{self.lower_quartile:.3f}–{self.upper_quartile:.3f}"

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        low, middle, high = (float(value) for value in np.percentile(np.asarray(values, dtype=np.float64), [25, 50, 75]))
        return cls(middle, low, high, len(values))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"
