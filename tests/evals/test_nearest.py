"""The comparison of pixels that finds the nearest sprite."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from evals.nearest import framed, nearest, on_white

RED, BLUE = (255, 0, 0), (0, 0, 255)


def shape(kind: str, colour: tuple[int, int, int]) -> Tensor:
    """(4, 64, 64) premultiplied: a square or a ring of 32 px in the middle."""
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    far = (x**2 + y**2).sqrt()
    inside = (x.abs() < 16) & (y.abs() < 16) if kind == "square" else (far < 16) & (far > 9)
    return torch.cat([inside * torch.tensor(colour)[:, None, None], inside[None] * 255]).to(torch.uint8)


@pytest.fixture
def sprites() -> Tensor:
    return torch.stack([shape("square", RED), shape("square", BLUE), shape("ring", RED), shape("ring", BLUE)])


def test_every_sprite_is_nearest_to_itself(sprites):
    found = nearest(on_white(sprites), sprites)
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.correlations.tolist() == pytest.approx([1] * 4, abs=1e-4)


def test_a_shifted_picture_is_as_near_as_the_one_in_the_middle(sprites):
    found = nearest(torch.roll(on_white(sprites[2:3]), (11, -9), dims=(2, 3)), sprites)
    assert (found.rows.tolist(), found.correlations.item()) == ([2], pytest.approx(1, abs=1e-3))


def test_a_picture_drawn_at_half_the_size_is_still_near(sprites):
    small = pad(interpolate(on_white(sprites[2:3]), scale_factor=0.5, mode="area"), (16, 16, 16, 16), value=1)
    found = nearest(small, sprites)
    assert (found.rows.tolist(), found.correlations.item() > 0.9) == ([2], True)


def test_shape_and_colour_count(sprites):
    found = nearest(on_white(sprites[1:2]), sprites[[0, 2, 3]])
    assert found.correlations.item() < 0.9


def test_a_blank_picture_is_near_to_nothing(sprites):
    assert nearest(torch.ones(1, 3, 64, 64), sprites).correlations.tolist() == [0.0]


def test_framing_brings_the_ink_to_the_middle_and_lets_white_in():
    ink = torch.zeros(1, 3, 64, 64)
    ink[:, :, 0:20, 0:20] = 0.7
    moved = framed(ink)[0, 0]
    assert moved[30:34, 30:34].min() == pytest.approx(0.7)
    assert moved[0].max() == 0
