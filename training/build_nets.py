"""The nets of a recipe, with chance weights drawn from its seed."""

from __future__ import annotations

from typing import TypeVar

import torch

from models.clip.text import TextTower
from models.inpainting import INPAINT_CHANNELS
from models.nets.prior import PriorConfig, PriorTransformer
from models.nets.prior_ar import PriorAR, PriorARConfig
from models.nets.text_proj import TextProjConfig, TextProjection
from models.nets.unet import UNet, UNetConfig
from models.nets.widen import widen_conv_in
from models.samplers.schedule import Schedule
from training.config import Recipe, Section, UpsamplerNetConfig
from training.data.errors import DataError
from training.tasks.clip import ClipNet
from training.tasks.decoder import DecoderNet

S = TypeVar("S", bound=Section)
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
    """The 64 px UNet and its text projection; the last convolution starts at zero, so x_0 starts as grey.

    The channels for inpainting are there from the start, with zero weights, which only the `inpaint` stage moves.
    """
    torch.manual_seed(recipe.seed)
    shape = recipe.decoder.net
    unet = UNet(UNetConfig(in_channels=3, out_channels=3, class_embed_type="identity", **shape.model_dump()))
    proj = TextProjConfig(recipe.embedding_dim, unet.config.time_embed_dim, shape.cross_attention_dim)
    return DecoderNet(widen_conv_in(_from_zero(unet), 3 + INPAINT_CHANNELS), TextProjection(proj))


def build_prior_ar(recipe: Recipe) -> PriorAR:
    """The autoregressive prior; what its codes mean is still to be fitted. Raises DataError."""
    shape = _section(recipe.prior_ar, recipe, "prior_ar").net
    torch.manual_seed(recipe.seed)
    net = PriorAR(PriorARConfig(recipe.embedding_dim, num_embeddings=recipe.context_length, **shape.model_dump()))
    torch.nn.init.normal_(net.positional_embedding, std=0.02)
    torch.nn.init.normal_(net.token_embedding.weight, std=0.02)
    return net


def build_upsample_256(recipe: Recipe) -> UNet:
    """The 64 → 256 UNet: noisy picture and enlarged small one in, no attention, no text; told the small one's noise level."""
    return _upsampler(recipe, recipe.upsample_256.net, class_embed_type="timestep", residual=False)


def build_upsample_1024(recipe: Recipe) -> UNet:
    """The 256 → 1024 UNet: it adds to the enlarged picture what that lacks. Raises DataError."""
    shape = _section(recipe.upsample_1024, recipe, "upsample_1024").net
    return _upsampler(recipe, shape, class_embed_type=None, residual=True)


def _upsampler(recipe: Recipe, shape: UpsamplerNetConfig, *, class_embed_type: str | None, residual: bool) -> UNet:
    torch.manual_seed(recipe.seed)
    config = UNetConfig(
        in_channels=6,
        out_channels=3,
        attention=(False,) * len(shape.block_out_channels),
        mid_attention=False,
        attention_head_dim=0,
        cross_attention_dim=0,
        class_embed_type=class_embed_type,
        residual=residual,
        **shape.model_dump(),
    )
    return widen_conv_in(_from_zero(UNet(config)), 6 + INPAINT_CHANNELS)


def _section(section: S | None, recipe: Recipe, name: str) -> S:
    if section is None:
        raise DataError(f"the recipe {recipe.name!r} has no section [{name}]")
    return section


def _from_zero(unet: UNet) -> UNet:
    torch.nn.init.zeros_(unet.conv_out.weight)
    if unet.conv_out.bias is not None:
        torch.nn.init.zeros_(unet.conv_out.bias)
    return unet
