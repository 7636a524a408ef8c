"""Spherical interpolation: ends, lengths, even angles."""

import torch

from models.samplers import scale_at, slerp, slerp_along, slerp_mix

X, Y, Z = torch.eye(3)[:, None].unbind(0)


def test_ends_are_exact_and_lengths_go_evenly() -> None:
    one, other = 2 * X, 4 * Y
    assert torch.equal(slerp(one, other, 0.0), one)
    assert torch.equal(slerp(one, other, 1.0), other)
    middle = slerp(one, other, 0.5)
    torch.testing.assert_close(middle, torch.tensor([[1.0, 1.0, 0.0]]) * 3 / 2**0.5)


def test_angles_are_even_and_one_way_is_no_trap() -> None:
    third = slerp(X, Y, 1 / 3)
    torch.testing.assert_close(third @ X[0], torch.tensor([3**0.5 / 2]))
    torch.testing.assert_close(slerp(X, X, 0.4), X)


def test_a_way_passes_every_point_and_a_mixture_weighs_them() -> None:
    assert torch.equal(slerp_along([X, Y, Z], 0.5), Y)
    assert torch.equal(slerp_along([X, Y, Z], 1.0), Z)
    assert torch.equal(slerp_mix([X, Y, Z], (0.0, 3.0, 0.0)), Y)
    torch.testing.assert_close(slerp_mix([X, Y], (1.0, 2.0)), slerp(X, Y, 2 / 3))


def test_the_guidance_scale_of_each_step() -> None:
    def over(mode: str, steps: int) -> list[float]:
        return [scale_at(mode, 5.0, (1.0, 30.0), step, steps) for step in range(steps)]

    assert over("constant", 3) == [5, 5, 5]
    assert over("interval", 8) == [1, 1, 5, 5, 5, 5, 1, 1]
    assert over("interval", 1) == [5]
    assert over("oscillating", 4) == [30, 1, 30, 1]
