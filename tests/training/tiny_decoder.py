"""A decoder small enough to learn within a test, with channels for inpainting."""

from __future__ import annotations

import torch

from models.nets.text_proj import TextProjConfig, TextProjection
from models.nets.unet import UNet, UNetConfig
from models.nets.widen import widen_conv_in
from training.tasks.decoder import DecoderNet

DIM = 16
"""Of z_i, z_t and the caption's states."""


def tiny_decoder(patch_size: int) -> DecoderNet:
    """The same weights at every call. patch_size: of the pixel-unshuffle."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    unet = UNet(
        UNetConfig(
            in_channels=3, out_channels=3, block_out_channels=(8, 16), layers_per_block=1, attention=(False, True),
            mid_attention=True, attention_head_dim=8, cross_attention_dim=DIM, class_embed_type="identity",
            norm_num_groups=4, patch_size=patch_size,
        )
    )  # fmt: skip
    return DecoderNet(widen_conv_in(unet, 7), TextProjection(TextProjConfig(DIM, unet.config.time_embed_dim, DIM)))
