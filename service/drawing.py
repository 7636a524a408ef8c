"""What every drawing request has and every reply about a drawing tells, whatever the endpoint."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.errors import UnknownField
from contract.record import JobRecord
from contract.spec import MAX_USER_CHARACTERS, OUTPUT_FORMATS, SIZES, Decoder, Guidance, PictureCount, Prior, Seed, Steps


class DrawingRequest(BaseModel):
    """What to draw and how. Null means the same as leaving a field out."""

    # Strict: "2" is not a number of pictures, and 1 is not a prompt.
    model_config = ConfigDict(extra="forbid", strict=True)

    default_size: ClassVar[str | None] = None
    """The size of a request that names none; None: the smallest offered, and the quickest."""

    prompt: str = Field(
        description="The picture in words. Line breaks and tabs count as spaces; other control characters are refused. "
        "Words beyond the model's text window are not drawn: the reply then carries a warning.",
        examples=["a red apple"],
    )
    model: str | None = Field(
        default=None,
        description="The served model's name, or an alias: `dall-e-2`, `gpt-image-1`, `default`.",
        examples=["dall-e-2"],
    )
    n: PictureCount | None = Field(default=1, description="How many pictures. Picture i is drawn with the seed `seed + i`.")
    size: str | None = Field(
        default=None,
        description="Width and height in pixels. The model draws at its nearest native size (`native_size` in the reply) "
        "and the picture is resampled to this. Left out: 256x256; or, at `/v1/images/generations`, "
        "`1024x1024` as DALL·E 2 gave.",
        json_schema_extra={"enum": [*SIZES, None]},
        examples=["256x256"],
    )
    output_format: str | None = Field(
        default=None, description="The file format.", json_schema_extra={"enum": [*OUTPUT_FORMATS, None]}, examples=["png"]
    )
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Quality of a JPEG or WebP, 100 if left out; PNG loses nothing."
    )
    seed: Seed | None = Field(
        default=None,
        description="Same seed and settings, same pixels. Chosen at random if left out.",
        examples=[7],
    )
    prior: Prior | None = Field(
        default=None,
        description="What draws the CLIP image embedding from the prompt: `diffusion` (if left out) or `autoregressive`, where "
        "the model has that part (`priors` in `/v1/models`).",
    )
    decoder: Decoder | None = Field(
        default=None,
        description="What draws the 64-pixel picture from the embedding: `base` (if left out), or `turbo`, with few steps of "
        "its own and no guidance, where the model has that part (`decoders` in `/v1/models`).",
    )
    steps: Steps | None = Field(default=None, description="Steps of the base decoder; the model's own number if left out.")
    guidance_scale: Guidance | None = Field(default=None, description="Guidance of the base decoder; 1 is none.")
    prior_steps: Steps | None = Field(default=None, description="Steps of the diffusion prior.")
    prior_guidance_scale: Guidance | None = Field(default=None, description="Guidance of the prior; 1 is none.")
    upsample_steps: Steps | None = Field(default=None, description="Steps of the upsampler to 256 pixels.")
    user: Annotated[str, Field(max_length=MAX_USER_CHARACTERS)] | None = Field(
        default=None, description="The caller's own name for its end user; kept with the job."
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, sent: Any) -> Any:
        # pydantic's own refusal cannot say which fields there are.
        if isinstance(sent, dict):
            for field in sent:
                if field not in cls.model_fields:
                    raise UnknownField(str(field), list(cls.model_fields))
        return sent

    @property
    def end_user(self) -> str | None:
        """The caller's name for its end user, if it gave one."""
        return self.user or None


class DrawingWarning(BaseModel):
    """Something in a request that was not followed to the letter."""

    code: str = Field(examples=["prompt_truncated"])
    message: str
    param: str | None = Field(examples=["prompt"])


def warnings_of(job: JobRecord) -> list[DrawingWarning]:
    """Return what the callers of `job` should know beside its pictures."""
    warnings = []
    if job.truncated_tokens:
        message = f"the last {job.truncated_tokens} tokens of the prompt are beyond the model's text window and were not drawn"
        warnings.append(DrawingWarning(code="prompt_truncated", message=message, param="prompt"))
    if job.blocked:
        message = f"the picture filter kept back {len(job.blocked)} of {job.spec.pictures} pictures"
        warnings.append(DrawingWarning(code="pictures_blocked", message=message, param=None))
    return warnings
