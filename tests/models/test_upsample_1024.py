"""The second upsampler: who passes it, how many steps it takes, and that a model without it is as before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.cascade import Cascade
from models.nets.unet import UNet, UNetConfig
from models.row import DONE, DrawRequest, Row
from tests.models.tiny import add_second_upsampler, write_tiny_model

LARGE = DrawRequest(
    "a red apple", seed=7, steps=2, guidance_scale=1.0, prior_steps=1, prior_guidance_scale=1.0, upsample_steps=1, size_px=1024
)
SMALL = replace(LARGE, size_px=256)


@pytest.fixture(scope="module")
def with_it(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    folder = write_tiny_model(tmp_path_factory.mktemp("with") / "tiny")
    return Cascade.load(add_second_upsampler(folder, steps=2), threads=1)


@pytest.fixture(scope="module")
def without_it(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    return Cascade.load(write_tiny_model(tmp_path_factory.mktemp("without") / "tiny"), threads=1)


def finished(cascade: Cascade, request: DrawRequest) -> Row:
    row = cascade.admit(request)
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
    return row


def test_a_picture_of_1024_px_is_drawn_in_the_steps_that_were_announced(with_it: Cascade) -> None:
    row = with_it.admit(LARGE)
    taken: dict[str, int] = {}
    while row.stage != DONE:
        taken[row.stage] = taken.get(row.stage, 0) + 1
        with_it.stages[row.stage].run([row])
    assert taken == with_it.steps(LARGE)
    assert with_it.picture(row).shape == (1024, 1024, 3)


@pytest.mark.parametrize(("asked", "drawn"), [(64, 256), (256, 256), (512, 1024), (1024, 1024)])
def test_only_what_is_larger_than_256_px_passes_the_second_upsampler(with_it: Cascade, asked: int, drawn: int) -> None:
    route = with_it.route(replace(LARGE, size_px=asked))
    assert ("upsample_1024" in route) == (drawn == 1024)


def test_a_model_without_it_draws_256_px_whatever_is_asked(without_it: Cascade) -> None:
    assert without_it.picture(finished(without_it, LARGE)).shape == (256, 256, 3)


def test_a_256_px_picture_is_the_same_with_it_and_without(with_it: Cascade, without_it: Cascade) -> None:
    of = [cascade.picture(finished(cascade, SMALL)) for cascade in (with_it, without_it)]
    assert np.array_equal(*of)


def test_it_takes_its_nets_own_number_of_steps(with_it: Cascade) -> None:
    steps = with_it.steps(replace(LARGE, upsample_steps=5))
    assert (steps["upsample_256"], steps["upsample_1024"]) == (5, 2)


def test_a_residual_net_that_has_learned_nothing_gives_the_enlarged_picture() -> None:
    net = UNet(
        UNetConfig(
            in_channels=10, out_channels=3, block_out_channels=(8,), layers_per_block=1, attention=(False,),
            mid_attention=False, attention_head_dim=0, cross_attention_dim=0, class_embed_type=None,
            norm_num_groups=4, patch_size=4, residual=True,
        )
    )  # fmt: skip
    torch.nn.init.zeros_(net.conv_out.weight)
    torch.nn.init.zeros_(net.conv_out.bias)  # type: ignore[arg-type]
    x = torch.randn(1, 10, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net(x, torch.tensor([999])), x[:, 3:6])
