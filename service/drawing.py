"""What every drawing request has and every reply about a drawing tells, whatever the endpoint."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.errors import UnknownField
from contract.record import JobRecord
from contract.spec import (
    MAX_USER_CHARACTERS,
    OUTPUT_FORMATS,
    SIZES,
    Candidates,
    Conditioning,
    Decoder,
    GenerateSpec,
    Guidance,
    GuidanceMode,
    PictureCount,
    Prior,
    Seed,
    Spec,
    Steps,
    StopAt,
)


class PictureRequest(BaseModel):
    """What every request for pictures has. Null means the same as leaving a field out."""

    # Strict: "2" is not a number of pictures, and 1 is not a prompt.
    model_config = ConfigDict(extra="forbid", strict=True)

    makes: ClassVar[type[Spec]]
    """The spec of such a request."""
    default_size: ClassVar[str | None] = None
    """The size of a request that names none; None: the smallest offered, and the quickest."""

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
    decoder: Decoder | None = Field(
        default=None,
        description="What draws the 64-pixel picture from the embedding: `base` (if left out), or `turbo`, with few steps of "
        "its own and no guidance, where the model has that part (`decoders` in `/v1/models`).",
    )
    steps: Steps | None = Field(default=None, description="Steps of the base decoder; the model's own number if left out.")
    guidance_scale: Guidance | None = Field(default=None, description="Guidance of the base decoder; 1 is none.")
    upsample_steps: Steps | None = Field(default=None, description="Steps of the upsampler to 256 pixels.")
    guidance_mode: GuidanceMode | None = Field(
        default=None,
        description="How guidance runs over the base decoder's steps: `constant` (if left out), `interval` in the middle of "
        "them, or `oscillating` between `guidance_bounds`.",
    )
    guidance_bounds: Annotated[list[Guidance], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="Lowest and highest guidance of `oscillating`; 1 and 30 if left out.", examples=[[1, 12]]
    )
    previews: bool | None = Field(
        default=None, description="Whether to make previews while it is drawn, for `/v1/jobs/{job_id}/events?previews=true`."
    )
    metadata: bool | None = Field(default=None, description="Whether the file says how it was made; true if left out.")
    user: Annotated[str, Field(max_length=MAX_USER_CHARACTERS)] | None = Field(
        default=None, description="The caller's own name for its end user; kept with the job."
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, sent: Any) -> Any:
        # pydantic's own refusal cannot say which fields there are.
        if isinstance(sent, dict):
            fields = cls.model_fields
            for field in sent:
                if field not in fields:
                    raise UnknownField(str(field), list(fields))
        return sent

    @property
    def words(self) -> list[tuple[str, str]]:
        """Whatever the request says in words: field and text."""
        found = [(name, getattr(self, name, None)) for name in ("prompt", "source_prompt", "mask_prompt")]
        return [(name, text) for name, text in found if text is not None]

    @property
    def end_user(self) -> str | None:
        """The caller's name for its end user, if it gave one."""
        return self.user or None


class PriorRequest(PictureRequest):
    """What requests have in which a prior makes the embedding of a prompt."""

    prior: Prior | None = Field(
        default=None,
        description="What draws the CLIP image embedding from the prompt: `diffusion` (if left out) or `autoregressive`, where "
        "the model has that part (`priors` in `/v1/models`).",
    )
    prior_steps: Steps | None = Field(default=None, description="Steps of the diffusion prior.")
    prior_guidance_scale: Guidance | None = Field(default=None, description="Guidance of the prior; 1 is none.")
    prior_candidates: Candidates | None = Field(
        default=None, description="Embeddings that the prior draws; the one nearest to the prompt's is taken. 2 if left out."
    )


class DrawingRequest(PriorRequest):
    """What to draw from a prompt, and how."""

    makes: ClassVar[type[Spec]] = GenerateSpec

    prompt: str = Field(
        description="The picture in words. Line breaks and tabs count as spaces; other control characters are refused. "
        "Words beyond the model's text window are not drawn: the reply then carries a warning.",
        examples=["a red apple"],
    )
    conditioning: Conditioning | None = Field(
        default=None,
        description="What the decoder is told: the `prior`'s embedding (if left out), the caption's `text_embedding` in its "
        "place, or the caption's `tokens` alone.",
    )
    stop_at: StopAt | None = Field(
        default=None, description="The last stage; the rest is resampled. The job `resume` takes the picture up again."
    )


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
