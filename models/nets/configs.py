"""Between the configs in a model folder, which are diffusers', and the nets' own; what a net cannot do is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from models.errors import CheckpointError
from models.nets.prior import PriorConfig
from models.nets.prior_ar import PriorARConfig
from models.nets.text_proj import TextProjConfig
from models.nets.unet import UNetConfig

PLAIN_DOWN, PLAIN_UP = "ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"
CROSS_DOWN, CROSS_UP, CROSS_MID = "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnUpBlock2D", "UNetMidBlock2DSimpleCrossAttn"


def unet_config(config: Mapping[str, Any], part: str) -> UNetConfig:
    """Read a `UNet2DConditionModel` or `UNet2DModel` config. Raises CheckpointError naming what is not supported."""
    downs, ups = list(config["down_block_types"]), list(config["up_block_types"])
    attention = tuple(kind == CROSS_DOWN for kind in downs)
    _require(part, "down_block_types", downs, [CROSS_DOWN if has else PLAIN_DOWN for has in attention])
    _require(part, "up_block_types", ups, [CROSS_UP if has else PLAIN_UP for has in reversed(attention)])
    _require(part, "resnet_time_scale_shift", config.get("resnet_time_scale_shift"), "scale_shift")
    is_conditional = config["_class_name"] == "UNet2DConditionModel"
    mid_attention = config.get("mid_block_type") == CROSS_MID if is_conditional else bool(config.get("add_attention", True))
    if mid_attention and not is_conditional:
        raise CheckpointError(f"{part}: add_attention is not supported in an upsampler; the paper's has none")
    return UNetConfig(
        in_channels=config["in_channels"],
        out_channels=config["out_channels"],
        block_out_channels=tuple(config["block_out_channels"]),
        layers_per_block=config["layers_per_block"],
        attention=attention,
        mid_attention=mid_attention,
        attention_head_dim=config.get("attention_head_dim") or 0,
        cross_attention_dim=config.get("cross_attention_dim") or 0,
        class_embed_type=config.get("class_embed_type"),
        norm_num_groups=config.get("norm_num_groups", 32),
        patch_size=config.get("patch_size", 1),
        residual=config.get("residual", False),
    )


def unet_json(config: UNetConfig) -> dict[str, Any]:
    """The diffusers config of a UNet; `patch_size` (pixel-unshuffle) and `residual` are ours, absent from diffusers."""
    is_conditional = config.mid_attention or any(config.attention)
    shared = {
        "_class_name": "UNet2DConditionModel" if is_conditional else "UNet2DModel",
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": list(config.block_out_channels),
        "layers_per_block": config.layers_per_block,
        "down_block_types": [CROSS_DOWN if has else PLAIN_DOWN for has in config.attention],
        "up_block_types": [CROSS_UP if has else PLAIN_UP for has in reversed(config.attention)],
        "class_embed_type": config.class_embed_type,
        "norm_num_groups": config.norm_num_groups,
        "resnet_time_scale_shift": "scale_shift",
        "patch_size": config.patch_size,
        "residual": config.residual,
    }
    if not is_conditional:
        return shared | {"add_attention": False}
    return shared | {
        "mid_block_type": CROSS_MID,
        "attention_head_dim": config.attention_head_dim,
        "cross_attention_dim": config.cross_attention_dim,
    }


def prior_config(config: Mapping[str, Any]) -> PriorConfig:
    """Read a `PriorTransformer` config. Raises CheckpointError naming what is not supported."""
    supported = {
        "added_emb_type": "prd",
        "embedding_proj_dim": None,
        "embedding_proj_norm_type": None,
        "encoder_hid_proj_type": None,
        "encoder_hid_proj": "linear",
        "norm_in_type": None,
        "clip_embed_dim": None,
        "time_embed_dim": None,
        "time_embed_act_fn": "silu",
    }
    for key, value in supported.items():
        if key in config:
            _require("prior", key, config[key], value)
    names = ("embedding_dim", "num_attention_heads", "attention_head_dim", "num_layers", "num_embeddings")
    return PriorConfig(**{key: config[key] for key in names}, additional_embeddings=config.get("additional_embeddings", 4))


def prior_json(config: PriorConfig) -> dict[str, Any]:
    """The diffusers config of a prior."""
    names = (
        "embedding_dim",
        "num_attention_heads",
        "attention_head_dim",
        "num_layers",
        "num_embeddings",
        "additional_embeddings",
    )
    return {"_class_name": "PriorTransformer", **{key: getattr(config, key) for key in names}}


def prior_ar_config(config: Mapping[str, Any]) -> PriorARConfig:
    """Read a `PriorAR` config, which is ours: diffusers has no such net. Its `temperature` and `top_p` are of the stage."""
    return PriorARConfig(**{field.name: config[field.name] for field in fields(PriorARConfig)})


def prior_ar_json(config: PriorARConfig) -> dict[str, Any]:
    """The config of an autoregressive prior."""
    return {"_class_name": "PriorAR", **asdict(config)}


def text_proj_config(config: Mapping[str, Any]) -> TextProjConfig:
    """Read a `UnCLIPTextProjModel` config."""
    names = ("clip_embeddings_dim", "time_embed_dim", "cross_attention_dim", "clip_extra_context_tokens")
    return TextProjConfig(**{key: config[key] for key in names})


def text_proj_json(config: TextProjConfig) -> dict[str, Any]:
    """The diffusers config of a text projection."""
    names = ("clip_embeddings_dim", "time_embed_dim", "cross_attention_dim", "clip_extra_context_tokens")
    return {"_class_name": "UnCLIPTextProjModel", **{key: getattr(config, key) for key in names}}


def _require(part: str, key: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise CheckpointError(f"{part}: {key} is {found!r}; only {wanted!r} is supported")
