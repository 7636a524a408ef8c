"""More input channels for a trained UNet, and nothing else changed by them (Imagen Editor, §3)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from models.nets.unet import UNet


def widen_conv_in(net: UNet, in_channels: int) -> UNet:
    """Give `net`, in place, `in_channels` input channels (picture channels, before pixel-unshuffle); returns it.

    The new channels come last and their weights are zero, so the output does not change whatever they carry (Imagen Editor,
    §3). A net that has `in_channels` already is left alone. Raises ValueError for fewer channels than it has.
    """
    old = net.conv_in
    wide = nn.Conv2d(in_channels * net.config.patch_size**2, old.out_channels, 3, padding=1)
    wide.weight = nn.Parameter(widen_weight(old.weight.detach(), wide.in_channels), old.weight.requires_grad)
    wide.bias = old.bias
    net.conv_in, net.config = wide, replace(net.config, in_channels=in_channels)
    return net


def widen_weight(weight: Tensor, in_channels: int) -> Tensor:
    """A convolution's weight (O, C, kH, kW) with zeros for the channels from C to `in_channels`: (O, in_channels, kH, kW).

    Pixel-unshuffle orders its output by channel first, so picture channels that come last are convolution channels that come
    last. in_channels: of the convolution, after pixel-unshuffle. Raises ValueError where there are more of them already.
    """
    outputs, channels, *kernel = weight.shape
    if in_channels < channels:
        raise ValueError(f"the convolution has {channels} input channels; {in_channels} would take some away")
    return torch.cat([weight, weight.new_zeros(outputs, in_channels - channels, *kernel)], dim=1)
