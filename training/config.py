"""A training recipe: one TOML file, checked whole before anything runs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.data.errors import DataError

CONFIGS = Path(__file__).parent / "configs"


class Section(BaseModel):
    """Shared by all parts of a recipe: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StageConfig(Section):
    """How long and how fast one stage trains."""

    minutes: float = Field(gt=0, description="wall-clock budget of the stage; the learning rate falls to zero over it")
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    max_steps: int | None = Field(default=None, gt=0, description="stop earlier after this many steps")


class VisionConfig(Section):
    """open_clip's `vision_cfg`, the part of it used here."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    head_width: int


class ClipConfig(StageConfig):
    """The image tower and the text projection."""

    vision: VisionConfig


class PriorNetConfig(Section):
    """Shape of the prior; the rest follows from the recipe."""

    num_attention_heads: int
    attention_head_dim: int
    num_layers: int


class PriorStageConfig(StageConfig):
    """The diffusion prior."""

    net: PriorNetConfig


class DecoderNetConfig(Section):
    """Shape of the 64 px decoder."""

    block_out_channels: tuple[int, ...]
    layers_per_block: int
    attention: tuple[bool, ...]
    mid_attention: bool
    attention_head_dim: int
    cross_attention_dim: int
    patch_size: int
    norm_num_groups: int = 32


class DecoderStageConfig(StageConfig):
    """The 64 px decoder."""

    net: DecoderNetConfig


class UpsamplerNetConfig(Section):
    """Shape of the 64 → 256 upsampler; no attention and no text, as in the paper."""

    block_out_channels: tuple[int, ...]
    layers_per_block: int
    patch_size: int
    norm_num_groups: int = 32


class UpsamplerStageConfig(StageConfig):
    """The 64 → 256 upsampler."""

    net: UpsamplerNetConfig


class DefaultsConfig(Section):
    """What a request gets that names no steps and no guidance."""

    steps: int
    guidance_scale: float
    prior_steps: int
    prior_guidance_scale: float
    upsample_steps: int


class Recipe(Section):
    """One whole training run, data to packed weights."""

    name: str
    style: str
    objects: str
    seed: int
    bf16: bool
    context_length: int
    embedding_dim: int
    pictures_per_object: int
    defaults: DefaultsConfig
    clip: ClipConfig
    prior: PriorStageConfig
    decoder: DecoderStageConfig
    upsampler: UpsamplerStageConfig

    @model_validator(mode="after")
    def _one_flag_per_level(self) -> Self:
        net = self.decoder.net
        if len(net.attention) != len(net.block_out_channels):
            raise ValueError(
                f"decoder.net.attention has {len(net.attention)} levels, block_out_channels {len(net.block_out_channels)}"
            )
        return self

    @property
    def objects_path(self) -> Path:
        """The object list, beside the shipped recipes unless it is a path of its own."""
        return path if (path := Path(self.objects)).is_absolute() else CONFIGS / self.objects

    def with_minutes(self, minutes: dict[str, float]) -> Recipe:
        """The same recipe with other time budgets. Raises DataError for a stage that does not exist."""
        values: dict[str, Any] = self.model_dump()
        for stage, budget in minutes.items():
            if stage not in ("clip", "prior", "decoder", "upsampler"):
                raise DataError(f"there is no training stage {stage!r}; choose clip, prior, decoder or upsampler")
            values[stage]["minutes"] = budget
        return Recipe.model_validate(values)


def read_recipe(name: str) -> Recipe:
    """A shipped recipe by its name, or a TOML file by its path. Raises DataError naming the key and the value."""
    path = CONFIGS / f"{name}.toml" if not name.endswith(".toml") else Path(name)
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        shipped = ", ".join(sorted(config.stem for config in CONFIGS.glob("*.toml")))
        raise DataError(f"there is no recipe {name!r}; shipped are {shipped}; or give a .toml file") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise DataError(f"{path}: {error}") from error
