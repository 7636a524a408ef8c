"""R-precision, diversity and kernel distance on numbers whose answer is known."""

import pytest
import torch

from evals.quality.measures import kid, pairwise_distances, r_precision, stretched


def normal(count: int, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)) + shift


def test_a_picture_that_fits_its_own_caption_best_is_a_hit():
    assert r_precision(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), ["a cat", "a dog"]) == [True, False]


def test_a_tie_is_a_miss():
    assert r_precision(torch.ones(2, 2), ["a cat", "a dog"]) == [False, False]


def test_a_caption_is_no_rival_of_one_that_reads_the_same():
    assert r_precision(torch.ones(3, 3), ["a cat", "a cat", "a cat"]) == [True, True, True]


def test_chance_hits_one_in_as_many_as_there_are_candidates():
    matches = torch.rand(1000, 1000, generator=torch.Generator().manual_seed(0))
    hits = r_precision(matches, [str(number) for number in range(1000)], candidates=10)
    assert sum(hits) / 1000 == pytest.approx(0.1, abs=0.03)


def test_seeds_that_draw_one_thing_have_no_distance_and_opposites_two():
    same = torch.ones(1, 4, 8)
    opposite = torch.stack([torch.ones(8), -torch.ones(8)])[None]
    assert pairwise_distances(torch.cat([same[:, :2], opposite])) == [pytest.approx(0), pytest.approx(2)]


def test_one_distribution_is_at_no_distance_from_itself_and_another_is():
    near, far = kid(normal(300), normal(300, seed=1)), kid(normal(300, shift=0.5), normal(300, seed=1))
    assert near.low < 0 < near.high
    assert far.low > near.high


def test_unit_vectors_are_told_apart_once_they_are_stretched():
    near, other, far = (torch.nn.functional.normalize(normal(300, shift, seed)) for shift, seed in ((0, 0), (0, 1), (0.5, 2)))
    assert kid(far, other).value < 0.05
    assert kid(stretched(near), stretched(other)).low < 0 < kid(stretched(near), stretched(other)).high
    assert kid(stretched(far), stretched(other)).low > 0.5


def test_the_interval_holds_what_was_measured():
    interval = kid(normal(50, shift=0.3), normal(200, seed=1))
    assert interval.low < interval.value < interval.high
    assert interval.n == 50


def test_the_distance_is_the_unbiased_estimate_of_the_paper():
    x, y = normal(5).double(), normal(7, seed=1).double()

    def kernel(one, other):
        return (one @ other / 16 + 1) ** 3

    within = [kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    real = [kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    across = [kernel(a, b) for a in x for b in y]
    expected = sum(within) / 20 + sum(real) / 42 - 2 * sum(across) / 35
    assert kid(x, y, resamples=2).value == pytest.approx(float(expected))
