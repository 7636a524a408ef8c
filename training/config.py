"""A training recipe: one TOML file, checked whole before anything runs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.data.errors import DataError

CONFIGS = Path(__file__).parent / "configs"
LEARNING = ("clip", "prior", "prior_ar", "decoder", "inpaint", "turbo", "upsample_256", "upsample_1024")


class Section(BaseModel):
    """Shared by all parts of a recipe: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StageConfig(Section):
    """How long and how fast one stage trains."""

    minutes: float = Field(gt=0, description="wall-clock budget of the stage; the learning rate falls to zero over it")
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    max_steps: int | None = Field(default=None, gt=0, description="stop earlier after this many steps")
    ema: float = Field(default=0.999, ge=0, lt=1, description="decay of the averaged weights, which are what ships")


class VisionConfig(Section):
    """open_clip's `vision_cfg`, the part of it used here."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    head_width: int


class ClipConfig(StageConfig):
    """The image tower and the text projection.

    keep: how hard z_i is held where the CLIP that is started from, of the same shape, was right. The text projection stays as
    it was then, and so decoders of before can read the new z_i; 0: both learn freely, and nothing of before fits. alike: share
    of a batch whose captions name one colour.
    """

    vision: VisionConfig
    keep: float = Field(default=0, ge=0)
    alike: float = Field(default=0, ge=0, lt=1)


class PriorNetConfig(Section):
    """Shape of the prior; the rest follows from the recipe."""

    num_attention_heads: int
    attention_head_dim: int
    num_layers: int


class PriorStageConfig(StageConfig):
    """The diffusion prior."""

    net: PriorNetConfig


class PriorARNetConfig(PriorNetConfig):
    """Shape of the autoregressive prior. components: of z_i, each cut into `buckets`; dot_buckets: of the dot-product token."""

    components: int
    buckets: int
    dot_buckets: int


class PriorARStageConfig(StageConfig):
    """The autoregressive prior. temperature, top_p: by which its codes are drawn once it is trained."""

    net: PriorARNetConfig
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)


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

    @model_validator(mode="after")
    def _one_flag_per_level(self) -> Self:
        if len(self.attention) != len(self.block_out_channels):
            raise ValueError(f"attention has {len(self.attention)} levels, block_out_channels {len(self.block_out_channels)}")
        return self


class DecoderStageConfig(StageConfig):
    """The 64 px decoder.

    drop_image, drop_text: how often z_i and the caption are withheld; a tenth and half of the time in the paper (§2.1).
    t_power: timesteps come with a density of t to this power; above 0 more of the noisy ones, where z_i is made a shape.
    storage: of its packed weights; turbo's are int8 rows always.
    """

    net: DecoderNetConfig
    drop_image: float = Field(default=0.1, ge=0, le=1)
    drop_text: float = Field(default=0.5, ge=0, le=1)
    t_power: float = Field(default=0.0, ge=0)
    storage: Literal["float16", "int8_rows"] = "float16"


class InpaintStageConfig(StageConfig):
    """The decoder's further training with a part of the picture given.

    masks: `random` is Imagen Editor's ablation. whole: share of rows that are painted whole, so that it is not forgotten.
    drop_image, drop_text, t_power: as the decoder's. By default z_i is withheld more often and the caption less often than
    there: who inpaints says what shall be under the mask, and the z_i of a training picture tells it better than a prior's.
    """

    masks: Literal["object", "random", "mixed"]
    whole: float = Field(default=0.3, ge=0, le=1)
    drop_image: float = Field(default=0.3, ge=0, le=1)
    drop_text: float = Field(default=0.3, ge=0, le=1)
    t_power: float = Field(default=0.0, ge=0)


class TurboStageConfig(StageConfig):
    """The decoder distilled into few steps without guidance rows. masked: share of rows with a part of the picture given."""

    steps: int
    guidance_scale: float
    substeps: int
    masked: float = Field(ge=0, le=1)


class UpsamplerNetConfig(Section):
    """Shape of an upsampler; no attention and no text, as in the paper."""

    block_out_channels: tuple[int, ...]
    layers_per_block: int
    patch_size: int
    norm_num_groups: int = 32


class Upsample256StageConfig(StageConfig):
    """The 64 → 256 upsampler."""

    net: UpsamplerNetConfig


class Upsample1024StageConfig(StageConfig):
    """The 256 → 1024 upsampler. steps: the few that it is trained for and always takes."""

    steps: int
    net: UpsamplerNetConfig


class DefaultsConfig(Section):
    """What a request gets that names no steps and no guidance."""

    steps: int
    guidance_scale: float
    prior_steps: int
    prior_guidance_scale: float
    upsample_steps: int


class ScenesConfig(Section):
    """Which scenes are composed, as weights; the words are those of `training.data.shares`."""

    kinds: dict[Literal["portrait", "single", "count", "relation", "several"], float]
    portraits: dict[Literal["bare", "styled", "coloured", "counted", "related"], float] = {"bare": 1.0}
    styles: dict[str, float]
    concepts: dict[str, float]
    company: dict[str, float] | None = None
    backdrops: dict[Literal["white", "plain", "patterns", "scenery"], float]
    recoloured: float = Field(ge=0, le=1)
    names_style: float = Field(ge=0, le=1)
    small: float = Field(default=0.2, ge=0, le=1)
    large_sizes: tuple[float, float] = (0.7, 0.98)

    @model_validator(mode="after")
    def _something_to_draw(self) -> Self:
        for name in ("kinds", "portraits", "styles", "concepts", "company", "backdrops"):
            shares = getattr(self, name)
            if shares is not None and (min(shares.values(), default=0) < 0 or sum(shares.values()) <= 0):
                raise ValueError(f"{name} has no share above 0, or one below: {shares}")
        return self


class Recipe(Section):
    """One whole training run, data to packed weights. A stage without a section is not part of it."""

    name: str
    seed: int
    bf16: bool
    compile: bool = False
    context_length: int
    embedding_dim: int
    bank: int = Field(ge=0, description="examples made once and learned from again and again; 0: fresh ones in every batch")
    scenes: ScenesConfig
    defaults: DefaultsConfig
    clip: ClipConfig
    prior: PriorStageConfig
    prior_ar: PriorARStageConfig | None = None
    decoder: DecoderStageConfig
    inpaint: InpaintStageConfig | None = None
    turbo: TurboStageConfig | None = None
    upsample_256: Upsample256StageConfig
    upsample_1024: Upsample1024StageConfig | None = None

    @model_validator(mode="after")
    def _alike_are_found_in_a_bank(self) -> Self:
        if self.clip.alike and not self.bank:
            raise ValueError("clip.alike chooses among the bank's captions; with bank = 0 there are none")
        return self

    @property
    def trained(self) -> tuple[str, ...]:
        """The stages that learn, in order: each needs those before it, but the upsamplers only the data."""
        return tuple(name for name in LEARNING if getattr(self, name) is not None)

    def with_minutes(self, minutes: dict[str, float]) -> Recipe:
        """The same recipe with other time budgets. Raises DataError for a stage that it does not have."""
        values: dict[str, Any] = self.model_dump()
        for stage, budget in minutes.items():
            if stage not in self.trained:
                raise DataError(
                    f"the recipe {self.name!r} has no stage {stage!r} that learns; choose {', '.join(self.trained)}"
                )
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
