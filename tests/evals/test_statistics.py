"""Intervals and spreads."""

import pytest

from evals.statistics import Interval, Spread, bootstrap


def test_the_interval_of_60_hits_in_100_is_about_ten_points_either_way():
    interval = bootstrap([True] * 60 + [False] * 40)
    assert (interval.value, interval.n) == (0.6, 100)
    assert interval.low == pytest.approx(0.504, abs=0.015)  # Normal approximation: 1.96 · sqrt(0.6 · 0.4 / 100) = 0.096.
    assert interval.high == pytest.approx(0.696, abs=0.015)


def test_the_interval_is_the_same_each_time():
    assert bootstrap([True, False, True]) == bootstrap([True, False, True])


def test_numbers_other_than_hits_have_an_interval_too():
    interval = bootstrap([2.0, 4.0])
    assert (interval.low, interval.value, interval.high) == (2.0, 3.0, 4.0)


def test_no_values_make_no_interval():
    with pytest.raises(ValueError, match="nothing to resample"):
        bootstrap([])


def test_an_interval_reads_as_a_share_or_as_numbers():
    interval = Interval(0.925, 0.89, 0.95, 200)
    assert (str(interval), interval.numbers(2)) == ("92 % (89 to 95)", "0.93 (0.89 to 0.95)")


def test_one_slow_run_does_not_move_the_median():
    assert Spread.of([1.0, 1.0, 1.0, 1.0, 90.0]) == Spread(1.0, 1.0, 1.0, 5)
