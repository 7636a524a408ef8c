"""What a model offers, read from its folder's `model_index.json` without loading a weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.errors import ModelError
from contract.spec import Decoder, Guidance, Operation, Prior, Steps

INDEX_FILE = "model_index.json"
INPAINTING_CHANNELS = 7
"""Of a decoder's input: the noised picture's three, three of what is known, one that says where."""
ALIASES = ("dall-e-2", "gpt-image-1", "default")
"""Names that existing OpenAI clients send; each means the one model served here."""


class ModelDefaults(BaseModel):
    """What a request that leaves these out gets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Steps
    guidance_scale: Guidance
    prior_steps: Steps
    prior_guidance_scale: Guidance
    upsample_steps: Steps


class ModelInfo(BaseModel):
    """A model as callers see it.

    `native_sizes`: sides in pixels, ascending. `stages`: in order of travel. `priors`, `decoders`, `operations`: those
    that the folder has the parts of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    created: Annotated[int, Field(ge=0)]
    native_sizes: Annotated[tuple[int, ...], Field(min_length=1)]
    stages: Annotated[tuple[str, ...], Field(min_length=1)]
    priors: Annotated[tuple[Prior, ...], Field(min_length=1)] = ("diffusion",)
    decoders: Annotated[tuple[Decoder, ...], Field(min_length=1)] = ("base",)
    operations: Annotated[tuple[Operation, ...], Field(min_length=1)] = ("generate",)
    max_prompt_tokens: Annotated[int, Field(ge=1)]
    defaults: ModelDefaults

    def answers_to(self, name: str | None) -> bool:
        """True when a request for model `name` means this one; none asked for means the one served."""
        return name is None or name == self.name or name in ALIASES

    def nearest_native_size(self, size_px: int) -> int:
        """Return the side in pixels at which a picture of `size_px` is drawn: the smallest that suffices, else the largest."""
        return min((side for side in self.native_sizes if side >= size_px), default=max(self.native_sizes))


def operations_of(folder: Path) -> tuple[Operation, ...]:
    """Return what the parts of a model folder suffice for, where its index does not say it.

    A picture is begun at with the image tower, and a part of it painted anew by a decoder with channels for picture and mask.
    """
    if not (folder / "image_encoder").is_dir():
        return ("generate",)
    try:
        channels = json.loads((folder / "decoder" / "config.json").read_text(encoding="utf-8"))["in_channels"]
    except (OSError, ValueError, KeyError, TypeError):
        channels = 0  # whoever loads the decoder will say what is wrong with it
    inpaint: tuple[Operation, ...] = ("inpaint",) if channels == INPAINTING_CHANNELS else ()
    return ("generate", "vary", "interpolate", "edit", *inpaint, "upscale", "encode", "resume")


def read_model_info(folder: Path) -> ModelInfo:
    """Read the `"unclip"` object of the folder's `model_index.json`. Raises ModelError naming file and fault."""
    path = folder / INDEX_FILE
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; UNCLIP_MODEL_DIR must name a model folder") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(index, dict) or "unclip" not in index:
        raise ModelError(f'{path} has no "unclip" object: it is not a model folder of this project')
    try:
        return ModelInfo.model_validate({"operations": operations_of(folder), **index["unclip"]})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ModelError(f'{path}, "unclip": {faults}') from error
