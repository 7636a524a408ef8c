"""Wider nets: the same output as before, whatever the new channels carry."""

from __future__ import annotations

import pytest
import torch

from models.inpainting import inpaint_input
from models.nets.unet import UNet, UNetConfig
from models.nets.widen import widen_conv_in


def small_unet(in_channels: int, patch_size: int) -> UNet:
    torch.manual_seed(0)
    return UNet(
        UNetConfig(
            in_channels=in_channels, out_channels=3, block_out_channels=(8, 8), layers_per_block=1, attention=(False, False),
            mid_attention=False, attention_head_dim=0, cross_attention_dim=0, class_embed_type=None, norm_num_groups=4,
            patch_size=patch_size,
        )
    )  # fmt: skip


@pytest.mark.parametrize(("in_channels", "patch_size"), [(3, 1), (3, 4), (6, 2)])
def test_inpainting_channels_leave_the_output_unchanged_at_first(in_channels: int, patch_size: int) -> None:
    net, x, t = small_unet(in_channels, patch_size), torch.randn(2, in_channels, 16, 16), torch.tensor([3, 700])
    before = net(x, t)
    widen_conv_in(net, in_channels + 4)
    assert torch.equal(net(inpaint_input(x, torch.randn(2, 3, 16, 16), torch.rand(2, 1, 16, 16).round()), t), before)


def test_each_new_channel_reaches_the_output_once_its_weights_are_not_zero() -> None:
    net, x, t = widen_conv_in(small_unet(3, 4), 7), torch.zeros(1, 7, 16, 16), torch.tensor([5])
    torch.nn.init.normal_(net.conv_in.weight)
    before = net(x, t)
    for channel in range(3, 7):
        assert not torch.equal(net(x + torch.eye(7)[channel][None, :, None, None], t), before)


def test_the_config_tells_the_new_width() -> None:
    assert widen_conv_in(small_unet(3, 4), 7).config.in_channels == 7


def test_taking_channels_away_is_refused() -> None:
    with pytest.raises(ValueError, match="take some away"):
        widen_conv_in(small_unet(6, 1), 3)
