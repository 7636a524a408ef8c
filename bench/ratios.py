"""Ratios of two arms that take turns on one machine, with an interval: what a noisy machine lets one say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Arm = Callable[[], float]
"""Does one block of work and returns its rate, or its seconds: the same of both arms."""
RESAMPLES, CONFIDENCE = 4000, 0.95


@dataclass(frozen=True)
class Ratio:
    """The median of the blocks' ratios first / second, and its bootstrap interval. first, second: medians of the arms."""

    median: float
    low: float
    high: float
    first: float
    second: float
    blocks: int

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f}, {self.blocks} blocks)"


def compare(first: Arm, second: Arm, blocks: int, tell: Callable[[str], None] = lambda line: None) -> Ratio:
    """Run both arms `blocks` times and return how the first stands to the second.

    The order turns round from block to block (ABBA), so that a machine that grows slower or faster favours neither. One
    block of each comes before and is not counted.
    """
    first(), second()
    taken: list[tuple[float, float]] = []
    for block in range(blocks):
        if block % 2:
            b, a = second(), first()
        else:
            a, b = first(), second()
        taken.append((a, b))
        tell(f"block {block + 1} of {blocks}: {a:.4g} and {b:.4g}")
    return ratio_of(taken)


def ratio_of(blocks: Sequence[tuple[float, float]]) -> Ratio:
    """The ratio of paired blocks; each number must be above zero."""
    pairs = np.array(blocks, dtype=np.float64)
    ratios = pairs[:, 0] / pairs[:, 1]
    low, high = _interval(ratios)
    a, b = np.median(pairs, axis=0)
    return Ratio(float(np.median(ratios)), low, high, float(a), float(b), len(blocks))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all do not exceed."""
    return float(np.percentile(np.array(values, dtype=np.float64), percent, method="higher"))


def _interval(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """Percentile bootstrap of the median, at CONFIDENCE; seeded, so that the same blocks give the same interval."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (RESAMPLES, len(values))), axis=1)
    tail = (1 - CONFIDENCE) / 2 * 100
    return float(np.percentile(medians, tail)), float(np.percentile(medians, 100 - tail))
