"""The wrongs that small pictures are put through."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from training.degrade import blurred, degrade, gaussian_blur, grainy, jpeg, resampled, through_jpeg


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(batch: int = 1, side: int = 48) -> Tensor:
    """Colour ramps with an edge: (batch, 3, side, side)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    return torch.stack([x, y, torch.where(x + y > 0, 0.8, -0.6)]).expand(batch, -1, -1, -1).clone()


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_loses_what_pillows_jpeg_loses(quality: int) -> None:
    picture = smooth()
    pixels = ((picture[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    theirs = np.asarray(Image.open(file), dtype=np.float32)
    exact = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    ours = ((jpeg(exact, torch.tensor([quality]))[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    lost = np.abs(theirs - pixels).mean()
    assert np.abs(ours - theirs).mean() < lost / 2


def test_jpeg_takes_sides_that_blocks_do_not_divide() -> None:
    picture = torch.full((2, 3, 20, 37), 0.25)
    torch.testing.assert_close(jpeg(picture, torch.tensor([90, 95])), picture, atol=0.02, rtol=0)


@pytest.mark.parametrize("wrong", [blurred, resampled, through_jpeg])
def test_a_flat_picture_stays_as_it_is(wrong: object) -> None:
    picture = torch.full((2, 3, 32, 32), -0.5)
    torch.testing.assert_close(wrong(picture, chance()), picture, atol=0.02, rtol=0)  # type: ignore[operator]


def test_a_blur_is_wider_along_its_direction() -> None:
    dot = torch.zeros(1, 1, 15, 15)
    dot[..., 7, 7] = 1
    spread = gaussian_blur(dot, torch.tensor([[2.0], [0.4]]), torch.zeros(1))[0, 0]
    assert spread[7, 9] > 10 * spread[9, 7]


def test_grain_is_of_the_strength_that_was_drawn_and_has_no_bias() -> None:
    noise = grainy(torch.zeros(64, 3, 32, 32), chance())
    strengths = noise.std(dim=(1, 2, 3))
    assert strengths.max() < 0.09
    assert strengths.min() < 0.02
    assert abs(noise.mean()) < 1e-3


def test_the_same_chance_gives_the_same_pictures_within_range() -> None:
    picture = smooth(batch=8)
    once, again = degrade(picture, chance(5)), degrade(picture, chance(5))
    assert torch.equal(once, again)
    assert once.abs().max() <= 1


def test_pictures_of_one_batch_meet_different_wrongs() -> None:
    picture = smooth(batch=8)
    differences = (degrade(picture, chance()) - picture).abs().mean(dim=(1, 2, 3))
    assert len(set(differences.tolist())) == 8
