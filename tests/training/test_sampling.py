"""Timesteps of a batch: spread evenly, or with as many of the noisiest as is asked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.sampling import stratified

TIMESTEPS, ROWS = 1000, 2000


def drawn(**how: float) -> Tensor:
    return stratified(ROWS, TIMESTEPS, torch.Generator().manual_seed(0), **how)


def shares(t: Tensor, spans: int, low: int, high: int) -> list[float]:
    """How much of the rows between two timesteps lies in each of so many equal spans of them."""
    within = t[(t >= low) & (t < high)].float()
    return (torch.histc(within, spans, low, high) / len(within)).tolist()


def test_timesteps_are_even_unless_asked_otherwise() -> None:
    assert shares(drawn(), 20, 0, TIMESTEPS) == pytest.approx([0.05] * 20, abs=0.002)


@pytest.mark.parametrize("early", [0.02, 0.15, 0.6, 0.98])
def test_the_noisiest_come_as_often_as_asked_and_are_even_among_themselves(early: float) -> None:
    t = drawn(early=early)
    assert (t >= 850).float().mean().item() == pytest.approx(early, abs=0.002)
    assert shares(t, 5, 850, TIMESTEPS) == pytest.approx([0.2] * 5, abs=0.03)
    assert shares(t, 5, 0, 850) == pytest.approx([0.2] * 5, abs=0.03)


def test_rows_stand_in_chance_order() -> None:
    first, second = drawn(early=0.6).chunk(2)
    assert (first >= 850).float().mean().item() == pytest.approx((second >= 850).float().mean().item(), abs=0.05)
