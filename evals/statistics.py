"""The few statistics that the reports share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean over n things with its 95 % interval. Of hits and misses it is a share, in [0, 1]."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """As a share: "92 % (89 to 94)"."""
        return f"{self.value * 100:.0f} % ({self.low * 100:.0f} to {self.high * 100:.0f})"

    def numbers(self, digits: int = 3) -> str:
        """As plain numbers: "0.412 (0.398 to 0.426)"."""
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def bootstrap(values: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of values, or of hits and misses, and its 95 % percentile interval (Efron 1979), things drawn again with
    replacement. Raises ValueError where there are none."""
    taken = np.asarray(values, dtype=np.float64)
    if taken.size == 0:
        raise ValueError("no values: there is nothing to resample")
    picks = np.random.default_rng(seed).integers(taken.size, size=(resamples, taken.size))
    low, high = np.percentile(taken[picks].mean(axis=1), [2.5, 97.5])
    return Interval(float(taken.mean()), float(low), float(high), int(taken.size))


def bootstrap_median(values: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The median of values and its 95 % percentile interval, as `bootstrap`. Raises ValueError where there are none."""
    taken = np.asarray(values, dtype=np.float64)
    if taken.size == 0:
        raise ValueError("no values: there is nothing to resample")
    picks = np.random.default_rng(seed).integers(taken.size, size=(resamples, taken.size))
    low, high = np.percentile(np.median(taken[picks], axis=1), [2.5, 97.5])
    return Interval(float(np.median(taken)), float(low), float(high), int(taken.size))


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
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        low, middle, high = (float(value) for value in np.percentile(np.asarray(values, dtype=np.float64), [25, 50, 75]))
        return cls(middle, low, high, len(values))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"
