"""Timesteps of a batch: spread evenly, or the denser the noisier."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.sampling import stratified

TIMESTEPS, ROWS = 1000, 2000


def drawn(**how: float) -> Tensor:
    return stratified(ROWS, TIMESTEPS, torch.Generator().manual_seed(0), **how)


def shares(t: Tensor, spans: int) -> list[float]:
    """How much of the rows lies in each of so many equal spans of the timesteps."""
    return (torch.histc(t.float(), spans, 0, TIMESTEPS) / len(t)).tolist()


def test_timesteps_are_even_unless_asked_otherwise() -> None:
    assert shares(drawn(), 20) == pytest.approx([0.05] * 20, abs=0.002)


@pytest.mark.parametrize("power", [0.5, 1.0, 4.0])
def test_their_density_is_a_power_of_t(power: float) -> None:
    ends = torch.linspace(0, 1, 11) ** (power + 1)
    assert shares(drawn(t_power=power), 10) == pytest.approx(ends.diff().tolist(), abs=0.002)


def test_all_are_timesteps_and_the_noisiest_is_among_them() -> None:
    t = drawn(t_power=9.0)
    assert (int(t.min()) >= 0, int(t.max())) == (True, TIMESTEPS - 1)


def test_rows_stand_in_chance_order() -> None:
    first, second = drawn(t_power=4.0).chunk(2)
    assert first.float().mean().item() == pytest.approx(second.float().mean().item(), rel=0.02)
