"""Nucleus sampling, and drawing by the inverse of the running sum."""

from __future__ import annotations

import pytest
import torch

from models.samplers.nucleus import invert_cdf, nucleus

P = torch.tensor([[0.1, 0.5, 0.05, 0.35], [0.25, 0.25, 0.25, 0.25]])


def test_the_fewest_values_that_reach_top_p_are_kept() -> None:
    kept = nucleus(P.log(), 1.0, 0.8)
    assert torch.allclose(kept[0], torch.tensor([0, 0.5, 0, 0.35]) / 0.85)


def test_the_most_probable_value_is_always_kept() -> None:
    assert nucleus(P.log(), 1.0, 1e-6)[0].tolist() == [0, 1, 0, 0]


def test_all_of_them_leave_the_probabilities_as_they_are() -> None:
    assert torch.allclose(nucleus(P.log(), 1.0, 1.0), P)


@pytest.mark.parametrize(("temperature", "power"), [(0.5, 2.0), (2.0, 0.5)])
def test_the_temperature_is_a_power_of_the_probabilities(temperature: float, power: float) -> None:
    expected = P**power / (P**power).sum(dim=-1, keepdim=True)
    assert torch.allclose(nucleus(P.log(), temperature, 1.0), expected)


def test_even_chances_draw_each_value_as_often_as_it_is_probable() -> None:
    chances = (torch.arange(1000) + 0.5) / 1000
    drawn = invert_cdf(P[:1].expand(1000, -1), chances)
    assert (drawn.bincount(minlength=4) / 1000).tolist() == pytest.approx(P[0].tolist(), abs=2e-3)


@pytest.mark.parametrize("chance", [0.0, 1 - 2.0**-24])
def test_the_ends_of_chance_draw_a_value_that_is_possible(chance: float) -> None:
    probabilities = torch.tensor([[0.0, 1 / 3, 1 / 3, 1 / 3, 0.0]])
    assert 1 <= int(invert_cdf(probabilities, torch.tensor([chance]))) <= 3
