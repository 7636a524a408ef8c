"""The spec: a validated, frozen request with every default and the seed resolved. Nothing validates after it.

The bounds live here too, so that the wire schemas, the command line and the docs speak of the same numbers.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MIN_PICTURES, MAX_PICTURES = 1, 10
SEEDS = 2**32
MIN_STEPS, MAX_STEPS = 1, 250
MIN_GUIDANCE, MAX_GUIDANCE = 0.0, 30.0
SIZES = ("256x256", "512x512", "1024x1024")
"""What DALL·E 2's clients send; always accepted, drawn at the model's nearest native size and resampled."""
OUTPUT_FORMATS = ("png",)
MAX_USER_CHARACTERS = 256

Size = Literal["256x256", "512x512", "1024x1024"]
OutputFormat = Literal["png"]
Prior = Literal["diffusion", "autoregressive"]
Decoder = Literal["base", "turbo"]
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Steps = Annotated[int, Field(ge=MIN_STEPS, le=MAX_STEPS)]
Guidance = Annotated[float, Field(ge=MIN_GUIDANCE, le=MAX_GUIDANCE, allow_inf_nan=False)]
PictureCount = Annotated[int, Field(ge=MIN_PICTURES, le=MAX_PICTURES)]


class GenerateSpec(BaseModel):
    """One job that draws `n` pictures from a prompt. Guidance 1 means no guidance.

    `prior_steps` is of the diffusion prior; `steps` and `guidance_scale` are of the base decoder, turbo has its own built in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    operation: Literal["generate"] = "generate"
    model: Annotated[str, Field(min_length=1)]
    prompt: Annotated[str, Field(min_length=1)]
    n: PictureCount = 1
    size: Size
    output_format: OutputFormat = "png"
    seed: Seed
    prior: Prior = "diffusion"
    decoder: Decoder = "base"
    steps: Steps
    guidance_scale: Guidance
    prior_steps: Steps
    prior_guidance_scale: Guidance
    upsample_steps: Steps
    user: Annotated[str, Field(max_length=MAX_USER_CHARACTERS)] | None = None

    @property
    def size_px(self) -> int:
        """Width and height of each picture, in pixels."""
        return int(self.size.partition("x")[0])

    def picture_seed(self, index: int) -> int:
        """Return the seed of picture `index`, with which n=1 draws that picture again alone."""
        return (self.seed + index) % SEEDS
