"""Ratios of two arms."""

from __future__ import annotations

import numpy as np
import pytest

from bench.ratios import compare, percentile, ratio_of


def noisy(rng: np.random.Generator, rate: float, drift: list[float]):
    """An arm of some rate on a machine that drifts and jitters."""

    def arm() -> float:
        drift[0] *= 0.97
        return rate * drift[0] * rng.uniform(0.95, 1.05)

    return arm


def test_equal_arms_read_one_even_while_the_machine_slows_down():
    rng, drift = np.random.default_rng(1), [1.0]
    ratio = compare(noisy(rng, 10, drift), noisy(rng, 10, drift), blocks=40)
    assert ratio.median == pytest.approx(1.0, abs=0.05)
    assert ratio.low <= 1.0 <= ratio.high


def test_an_arm_that_is_twice_as_fast_reads_two():
    rng, drift = np.random.default_rng(2), [1.0]
    ratio = compare(noisy(rng, 20, drift), noisy(rng, 10, drift), blocks=40)
    assert ratio.low > 1.8
    assert ratio.median == pytest.approx(2.0, abs=0.1)


def test_the_arms_take_turns_and_the_first_round_is_not_counted():
    calls: list[str] = []
    ratio = compare(lambda: calls.append("a") or 1.0, lambda: calls.append("b") or 2.0, blocks=2)
    assert "".join(calls) == "ab" + "ab" + "ba"
    assert (ratio.median, ratio.first, ratio.second, ratio.blocks) == (0.5, 1.0, 2.0, 2)


def test_the_same_blocks_give_the_same_interval():
    blocks = [(1.0, 1.1), (1.2, 1.0), (0.9, 1.0)]
    assert ratio_of(blocks) == ratio_of(blocks)


def test_a_percentile_is_one_of_the_values():
    assert percentile([1.0, 2.0, 3.0, 100.0], 99) == 100.0
