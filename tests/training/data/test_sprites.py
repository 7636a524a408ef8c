"""Sprites as tensors."""

import pytest
import torch

from training.data.errors import DataMissing, ObjectUnknown
from training.data.labels import SpriteInfo
from training.data.sprites import SpriteSet


def one_sprite(pixels: torch.Tensor) -> SpriteSet:
    return SpriteSet([SpriteInfo("dot", "dot", "dot", (), None, None, None, None, "tiny")], pixels[None].to(torch.uint8))


def half_red() -> torch.Tensor:
    """Left half opaque red, right half transparent with green hidden beneath."""
    pixels = torch.zeros(4, 4, 4)
    pixels[0, :, :2], pixels[3, :, :2], pixels[1, :, 2:] = 255, 255, 255
    return pixels


def test_hidden_colours_do_not_bleed_when_a_sprite_shrinks():
    shrunk = one_sprite(half_red()).composited([0], 1, background=(0, 0, 0))
    torch.testing.assert_close(shrunk.flatten(), torch.tensor([0.0, -1.0, -1.0]))


def test_each_sprite_of_a_batch_may_have_its_own_background():
    backgrounds = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    pictures = one_sprite(half_red()).composited([0, 0], 4, backgrounds)
    assert pictures.shape == (2, 3, 4, 4)
    assert pictures[:, :, 0, 0].tolist() == [[1, -1, -1], [1, -1, -1]]
    assert pictures[:, :, 0, 3].tolist() == [[1, 1, 1], [-1, -1, 1]]


def test_half_transparent_ink_is_blended_over_the_background():
    pixels = torch.tensor([0.0, 0.0, 0.0, 51.0])[:, None, None].expand(4, 2, 2)
    torch.testing.assert_close(one_sprite(pixels).composited([0], 2), torch.full((1, 3, 2, 2), 0.6))


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(ObjectUnknown, match="no sprite of style 'tiny' is called 'blue whale'"):
        one_sprite(half_red()).index("blue whale")


def test_a_folder_without_the_style_says_how_to_make_it(tmp_path):
    with pytest.raises(DataMissing, match="unclip data build"):
        SpriteSet.load(tmp_path, "flat")
