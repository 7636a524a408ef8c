"""Noise by address: the same numbers for ever, and good ones."""

import numpy as np
import pytest
import torch

from models.noise import noise, uniform


@pytest.mark.parametrize(
    ("seed", "stage", "step", "golden"),
    [
        (7, "decoder", 0, [-0.744699955, -0.0610977225, 0.944195211, -1.65240979, -0.98046869, -2.39762044]),
        (7, "decoder", 1, [0.0154900094, 0.470484853, -0.210896283, 1.48503995, -0.0457058884, -0.0802036524]),
        (7, "prior", 0, [-0.02948929, 1.28118682, -1.57013702, -1.18072581, 0.688436806, 0.130571604]),
        (2**32 - 1, "upsample_256", 249, [0.496804088, 1.18011296, -0.360154122, 0.1234679, 0.215300158, -1.77847683]),
    ],
)
def test_an_address_gives_the_same_numbers_for_ever(seed, stage, step, golden):
    # One float32 rounding of slack: mathematics libraries differ in a float64's last bit.
    assert np.allclose(noise(seed, stage, step, (6,)), golden, rtol=1.2e-7, atol=0)


def test_every_part_of_the_address_matters():
    addresses = [(seed, stage, step) for seed in (0, 1) for stage in ("prior", "decoder") for step in (0, 1)]
    first_numbers = {float(noise(*address, (1,))) for address in addresses}
    assert len(first_numbers) == len(addresses)


def test_a_longer_shape_begins_with_the_numbers_of_a_shorter_one():
    assert torch.equal(noise(3, "decoder", 5, (2, 3, 5)).flatten(), noise(3, "decoder", 5, (40,))[:30])


def test_what_was_drawn_before_does_not_matter():
    fresh = noise(3, "decoder", 5, (7,))
    torch.manual_seed(1)
    noise(3, "decoder", 4, (1000,))
    assert torch.equal(noise(3, "decoder", 5, (7,)), fresh)


def test_the_numbers_are_standard_normal_and_uncorrelated():
    draws = noise(11, "decoder", 0, (2, 500_000)).double()
    values = draws.flatten().sort().values
    normal = torch.special.ndtr(values)
    ranks = (torch.arange(len(values)) + 0.5) / len(values)
    assert (normal - ranks).abs().max() < 1.63 / len(values) ** 0.5  # Kolmogorov-Smirnov at 1 %
    assert torch.corrcoef(draws)[0, 1].abs() < 0.005
    assert torch.corrcoef(torch.stack([draws[0, 0::2], draws[0, 1::2]]))[0, 1].abs() < 0.005  # within a pair


def test_it_is_float32_of_the_shape_asked_for():
    drawn = noise(0, "prior", 0, (1, 3, 5))
    assert (drawn.dtype, tuple(drawn.shape)) == (torch.float32, (1, 3, 5))
    assert noise(0, "prior", 0, ()).shape == ()
    assert noise(0, "prior", 0, (0, 3)).shape == (0, 3)


def test_chances_have_an_address_too_and_are_even():
    chances = uniform(7, "prior_ar", 0, 100_000)
    assert torch.equal(chances[:10], uniform(7, "prior_ar", 0, 10))
    assert not torch.equal(chances[:10], uniform(8, "prior_ar", 0, 10))
    assert 0 <= float(chances.min()) < float(chances.max()) < 1
    assert (chances.histc(10, 0, 1) / 10_000).tolist() == pytest.approx([1.0] * 10, abs=0.05)
