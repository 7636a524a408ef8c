"""The nets of a recipe, with chance weights drawn from its seed."""

from __future__ import annotations

import torch

from models.clip.text import TextTower
from models.nets.prior import PriorConfig, PriorTransformer
from models.nets.text_proj import TextProjConfig, TextProjection
from models.nets.unet import UNet, UNetConfig
from models.samplers.schedule import Schedule
from training.config import Recipe
from training.tasks.clip import ClipNet
from training.tasks.decoder import DecoderNet

SCHEDULE = Schedule.named("squaredcos_cap_v2")


def build_clip(recipe: Recipe, tower: TextTower) -> ClipNet:
    """The image tower and a text projection that starts as the identity."""
    torch.manual_seed(recipe.seed)
    width = tower.net.proj.in_features
    return ClipNet(recipe.embedding_dim, width, recipe.clip.vision.model_dump())


def build_prior(recipe: Recipe) -> PriorTransformer:
    """The prior over captions of the recipe's length."""
    torch.manual_seed(recipe.seed)
    net = recipe.prior.net
    config = PriorConfig(
        embedding_dim=recipe.embedding_dim,
        num_attention_heads=net.num_attention_heads,
        attention_head_dim=net.attention_head_dim,
        num_layers=net.num_layers,
        num_embeddings=recipe.context_length,
    )
    prior = PriorTransformer(config)
    torch.nn.init.normal_(prior.positional_embedding, std=0.02)
    torch.nn.init.normal_(prior.prd_embedding, std=0.02)
    return prior


def build_decoder(recipe: Recipe) -> DecoderNet:
    """The 64 px UNet and its text projection; the last convolution starts at zero, so x_0 starts as grey."""
    torch.manual_seed(recipe.seed)
    shape = recipe.decoder.net
    unet = UNet(UNetConfig(in_channels=3, out_channels=3, class_embed_type="identity", **shape.model_dump()))
    proj = TextProjConfig(recipe.embedding_dim, unet.config.time_embed_dim, shape.cross_attention_dim)
    return DecoderNet(_from_zero(unet), TextProjection(proj))


def build_upsampler(recipe: Recipe) -> UNet:
    """The 64 → 256 UNet: noisy picture and enlarged small one in, no attention, no text."""
    torch.manual_seed(recipe.seed)
    shape = recipe.upsampler.net
    config = UNetConfig(
        in_channels=6,
        out_channels=3,
        attention=(False,) * len(shape.block_out_channels),
        mid_attention=False,
        attention_head_dim=0,
        cross_attention_dim=0,
        class_embed_type="timestep",
        **shape.model_dump(),
    )
    return _from_zero(UNet(config))


def _from_zero(unet: UNet) -> UNet:
    torch.nn.init.zeros_(unet.conv_out.weight)
    if unet.conv_out.bias is not None:
        torch.nn.init.zeros_(unet.conv_out.bias)
    return unet
