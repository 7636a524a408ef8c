"""Inpainting by the cascade: what is known comes out as it went in, what is masked is never seen, all the rest is as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.cascade import Cascade, to_pixels
from models.errors import InpaintingError
from models.inpainting import Inpainting, Known
from models.nets.unet import UNet
from models.nets.widen import widen_conv_in
from models.row import DONE, DrawRequest
from tests.models.tiny import write_tiny_model

APPLE = DrawRequest(
    "a red apple", seed=7, steps=3, guidance_scale=2.0, prior_steps=2, prior_guidance_scale=2.0, upsample_steps=2
)
RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 256, (256, 256, 3), dtype=np.uint8)
HOLE = np.zeros((256, 256), dtype=np.bool_)
HOLE[70:190, 101:203] = True


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Cascade:
    """Without inpainting channels, as a folder of diffusers'."""
    return Cascade.load(folder, threads=1)


@pytest.fixture(scope="module")
def cascade(folder: Path) -> Cascade:
    """The same with inpainting channels that do something."""
    cascade = Cascade.load(folder, threads=1)
    torch.manual_seed(1)
    for net in (cascade.stages["decoder"].unet, cascade.stages["upsample_256"].net):
        with_random_channels(net)
    return cascade


def with_random_channels(net: UNet) -> None:
    old = net.conv_in.in_channels
    widen_conv_in(net, net.config.in_channels + 4)
    torch.nn.init.normal_(net.conv_in.weight[:, old:], std=0.05)


def draw(cascade: Cascade, request: DrawRequest, *others: DrawRequest) -> np.ndarray:
    row, rows = cascade.admit(request), [cascade.admit(other) for other in others]
    while row.stage != DONE:
        stage = row.stage
        cascade.stages[stage].run([*(other for other in rows if other.stage == stage), row])
    return cascade.picture(row)


def assert_same_picture(one: np.ndarray, other: np.ndarray) -> None:
    """But for the last bits, in which kernels of other shapes differ."""
    assert np.abs(one.astype(int) - other).max() <= 1


def inpaint(picture: np.ndarray = PHOTO, mask: np.ndarray = HOLE) -> DrawRequest:
    return replace(APPLE, inpainting=Inpainting(picture, mask))


def test_known_pixels_come_out_exactly(cascade: Cascade) -> None:
    assert np.array_equal(draw(cascade, inpaint())[~HOLE], PHOTO[~HOLE])


def test_the_hole_is_painted(cascade: Cascade) -> None:
    differs = (draw(cascade, inpaint())[HOLE] != PHOTO[HOLE]).any(-1)
    assert differs.mean() > 0.9


def test_nothing_under_the_mask_is_seen(cascade: Cascade) -> None:
    blackened = np.where(HOLE[..., None], 0, PHOTO).astype(np.uint8)
    assert np.array_equal(draw(cascade, inpaint(blackened)), draw(cascade, inpaint()))


@pytest.mark.parametrize("stage", ["decoder", "upsampler"])
def test_the_net_of_each_stage_is_told_what_is_known(cascade: Cascade, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = draw(cascade, inpaint())
    monkeypatch.setattr(f"models.stages.{stage}.net_input", deaf)
    assert not np.array_equal(draw(cascade, inpaint()), told)


def deaf(x: torch.Tensor, known: list[Known], in_channels: int) -> torch.Tensor:
    """`net_input` that tells the net nothing."""
    return torch.nn.functional.pad(x, (0, 0, 0, 0, 0, in_channels - x.shape[1]))


def test_a_picture_without_inpainting_is_as_it_was_before_the_channels(cascade: Cascade, plain: Cascade) -> None:
    assert_same_picture(draw(cascade, APPLE), draw(plain, APPLE))


def test_inpainted_and_new_pictures_share_a_batch(cascade: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = draw(cascade, inpaint())
    for stage in cascade.stages.values():
        monkeypatch.setattr(stage, "bucket", 4)
    assert_same_picture(draw(cascade, inpaint(), replace(APPLE, seed=1), replace(inpaint(255 - PHOTO), seed=2)), alone)


def test_a_model_without_the_channels_refuses(plain: Cascade) -> None:
    with pytest.raises(InpaintingError, match="'tiny' cannot inpaint"):
        plain.admit(inpaint())


def test_a_small_picture_is_known_as_far_as_it_goes(cascade: Cascade) -> None:
    row = cascade.admit(inpaint(PHOTO[:64, :64], np.roll(HOLE, -90, (0, 1))[:64, :64]))
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
    hole = np.roll(HOLE, -90, (0, 1))[:64, :64]
    assert row.small is not None
    assert np.array_equal(to_pixels(row.small[0])[~hole], PHOTO[:64, :64][~hole])


@pytest.mark.parametrize(
    ("picture", "mask", "what"),
    [
        (PHOTO[:, :100], HOLE, "picture"),
        (PHOTO.astype(np.float32), HOLE, "picture"),
        (PHOTO, HOLE[:64, :64], "mask"),
        (PHOTO, HOLE.astype(np.uint8), "mask"),
        (PHOTO, np.zeros_like(HOLE), "nothing to paint"),
    ],
)
def test_a_picture_and_mask_that_do_not_fit_are_refused(picture: np.ndarray, mask: np.ndarray, what: str) -> None:
    with pytest.raises(InpaintingError, match=what):
        Inpainting(picture, mask)


def test_a_pixel_of_which_a_part_is_painted_is_painted_whole() -> None:
    mask = np.zeros((256, 256), dtype=np.bool_)
    mask[7, 9] = True
    known = Inpainting(PHOTO, mask).at(64, "cpu")
    assert known is not None
    assert known.mask.nonzero().tolist() == [[0, 0, 1, 2]]


def test_a_step_in_tone_is_evened_out_at_the_seam_and_only_there() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:44, 20:44] = 1
    known = Known(torch.zeros(1, 3, 64, 64), mask)
    blended = known.blend(torch.full((1, 3, 64, 64), 0.4))
    assert blended[..., 20, 32].abs().max() < 0.2
    assert torch.equal(blended[..., 24:40, 24:40], torch.full((1, 3, 16, 16), 0.4))
