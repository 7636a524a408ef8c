"""What a job can be asked for: one request per operation, told apart by `operation`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from contract.errors import InvalidParameter, UnknownField
from contract.spec import (
    MAX_BOXES,
    MAX_SOURCES,
    MIN_SOURCES,
    Animation,
    EditSpec,
    EncodeSpec,
    FrameCount,
    Guidance,
    InpaintSpec,
    InterpolateSpec,
    Lane,
    ResumeSpec,
    Share,
    Spec,
    Steps,
    StopAt,
    UpscaleSpec,
    VarySpec,
)
from service.drawing import DrawingRequest, PictureRequest, PriorRequest
from service.webhooks.schemas import JobWebhook

IMAGE = "an image id, an upload id, a data URL or an https address"
_IMAGE_EXAMPLE = "up_5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f"
_LATENT_EXAMPLE = "lat_5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f-0"

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weights = Annotated[list[Weight], Field(min_length=MIN_SOURCES, max_length=MAX_SOURCES)]
Box = Annotated[list[Share], Field(min_length=4, max_length=4)]
Boxes = Annotated[list[Box], Field(min_length=1, max_length=MAX_BOXES)]


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class JobOptions(PictureRequest):
    """How a job is run, whatever it draws."""

    lane: Lane | None = Field(
        default=None, description="`interactive` (if left out), or `batch`: drawn when nobody waits for anything else."
    )
    webhook: JobWebhook | None = Field(
        default=None, description="Told what becomes of this job, beside the endpoints at `/v1/webhook_endpoints`."
    )


class GenerateJob(JobOptions, DrawingRequest):
    """Draw from a prompt."""

    model_config = _example(operation="generate", prompt="a red apple", seed=7, size="256x256")
    operation: Literal["generate"] = Field(description="Draw from the prompt.")


class _FromPicture(JobOptions):
    """What an operation on one picture, or on its latent, has."""

    image: str | None = Field(default=None, description=f"The picture: {IMAGE}.", examples=[_IMAGE_EXAMPLE])
    latent: str | None = Field(
        default=None, description="Instead of a picture: the latent of an earlier one (`latent_id`).", examples=[None]
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.image is None) == (self.latent is None):
            raise InvalidParameter("image", "either image or latent should be given, and not both")
        return self


class VaryJob(_FromPicture):
    """Draw variations of a picture: its meaning stays, its details are drawn anew."""

    model_config = _example(operation="vary", image=_IMAGE_EXAMPLE, n=2, eta=0.5)
    makes: ClassVar[type[Spec]] = VarySpec
    operation: Literal["vary"] = Field(description="Draw variations of a picture.")
    eta: Share | None = Field(default=None, description="0: the picture itself, as far as it can be found again; 1: free.")
    inversion: Literal["ddim", "noise"] | None = Field(
        default=None, description="Where the details come from: found by DDIM inversion (if left out), or white noise."
    )
    inversion_steps: Steps | None = Field(default=None, description="Steps of the inversion; 50 if left out.")
    strength: Share | None = Field(default=None, description="Of `noise`: how much of the way is drawn anew; 1 if left out.")


class SourceRequest(BaseModel):
    """One end of an interpolation: a picture, a latent or a prompt."""

    model_config = ConfigDict(extra="forbid", strict=True)
    image: str | None = Field(default=None, description=f"A picture: {IMAGE}.", examples=[_IMAGE_EXAMPLE])
    latent: str | None = Field(default=None, description="The latent of an earlier picture.", examples=[None])
    prompt: str | None = Field(default=None, description="A prompt.", examples=[None])

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, sent: Any) -> Any:
        for field in sent if isinstance(sent, dict) else ():
            if field not in cls.model_fields:
                raise UnknownField(str(field), list(cls.model_fields))
        return sent

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if sum(value is not None for value in (self.image, self.latent, self.prompt)) != 1:
            raise InvalidParameter("sources", "each source should have one of image, latent and prompt")
        return self


class InterpolateJob(JobOptions, PriorRequest):
    """Draw pictures on the way between others, or a blend of them."""

    model_config = _example(
        operation="interpolate", sources=[{"image": _IMAGE_EXAMPLE}, {"prompt": "a green frog"}], frames=6, animation="gif"
    )
    makes: ClassVar[type[Spec]] = InterpolateSpec
    operation: Literal["interpolate"] = Field(description="Draw what lies between pictures, latents and prompts.")
    sources: Annotated[list[SourceRequest], Field(min_length=MIN_SOURCES, max_length=MAX_SOURCES)] = Field(
        description="What to go between, in order."
    )
    weights: Weights | None = Field(
        default=None, description="One for each source: `n` pictures of the one blend are drawn, and no frames."
    )
    frames: FrameCount | None = Field(default=None, description="Pictures on the way, both ends included; 8 if left out.")
    animation: Animation | None = Field(default=None, description="Also join the frames to one file.")
    inversion_steps: Steps | None = Field(default=None, description="Steps of the inversion; 50 if left out.")

    @property
    def words(self) -> list[tuple[str, str]]:
        """The prompts among the sources."""
        prompts = [(f"sources.{index}.prompt", source.prompt) for index, source in enumerate(self.sources)]
        return [(param, prompt) for param, prompt in prompts if prompt is not None]

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.weights is not None and (len(self.weights) != len(self.sources) or sum(self.weights) <= 0):
            raise InvalidParameter("weights", "weights should have one number for each source, and not all of them 0")
        return self


class EditJob(_FromPicture, PriorRequest):
    """Edit a picture by words: from what it shows to what it should show."""

    model_config = _example(operation="edit", image=_IMAGE_EXAMPLE, prompt="a green apple", source_prompt="a red apple")
    makes: ClassVar[type[Spec]] = EditSpec
    operation: Literal["edit"] = Field(description="Edit a picture by the difference of two prompts.")
    prompt: str = Field(description="What the picture should show.", examples=["a green apple"])
    source_prompt: str | None = Field(default=None, description="What it shows now; found by CLIP if left out.")
    theta: Share | None = Field(default=None, description="How far to go, 0 to 1; 0.5 if left out.")
    guidance_scale: Guidance | None = Field(
        default=None, description="Guidance away from the picture as it is, times theta; 8 if left out."
    )
    frames: FrameCount | None = Field(default=None, description="Draw the way there instead: theta from 0 upwards.")
    animation: Animation | None = Field(default=None, description="Also join the frames to one file.")
    inversion_steps: Steps | None = Field(default=None, description="Steps of the inversion; 50 if left out.")


class InpaintJob(JobOptions, PriorRequest):
    """Paint a part of a picture anew. Every pixel outside of the mask stays as it is."""

    model_config = _example(operation="inpaint", image=_IMAGE_EXAMPLE, prompt="a bow tie", mask_boxes=[[0.25, 0.6, 0.75, 1]])
    makes: ClassVar[type[Spec]] = InpaintSpec
    operation: Literal["inpaint"] = Field(description="Paint a part of a picture anew.")
    image: str = Field(description=f"The picture: {IMAGE}.", examples=[_IMAGE_EXAMPLE])
    prompt: str = Field(description="What the picture should show.", examples=["a bow tie"])
    mask: str | None = Field(default=None, description=f"What is painted anew: {IMAGE}. Left out: what is transparent.")
    mask_paints: Literal["transparent", "white"] | None = Field(
        default=None,
        description="What of a mask that is sent is painted anew: its `transparent` part (if left out), or its `white`.",
    )
    mask_boxes: Boxes | None = Field(
        default=None, description="Instead of a mask: boxes, left, top, right, bottom, as shares of the sides."
    )
    mask_prompt: str | None = Field(default=None, description="Instead of a mask: words for it.", examples=[None])
    canvas: Annotated[float, Field(ge=1, le=4, allow_inf_nan=False)] | None = Field(
        default=None, description="Set the picture in the middle of a canvas so many times its size, and paint around it."
    )

    @model_validator(mode="after")
    def _has_one_mask(self) -> Self:
        if sum(value is not None for value in (self.mask, self.mask_boxes, self.mask_prompt)) > 1:
            raise InvalidParameter("mask", "only one of mask, mask_boxes and mask_prompt should be given")
        for left, top, right, bottom in self.mask_boxes or ():
            if left >= right or top >= bottom:
                raise InvalidParameter("mask_boxes", "a box should be left, top, right and bottom, with some room between")
        return self


class UpscaleJob(JobOptions):
    """Enlarge a picture to `size`."""

    model_config = _example(operation="upscale", image=_IMAGE_EXAMPLE, size="1024x1024")
    makes: ClassVar[type[Spec]] = UpscaleSpec
    operation: Literal["upscale"] = Field(description="Enlarge a picture.")
    image: str = Field(description=f"The picture: {IMAGE}.", examples=[_IMAGE_EXAMPLE])


class EncodeJob(JobOptions):
    """Find a picture's latent, which other jobs can start from; the picture drawn of it again is the result."""

    model_config = _example(operation="encode", image=_IMAGE_EXAMPLE)
    makes: ClassVar[type[Spec]] = EncodeSpec
    operation: Literal["encode"] = Field(description="Find a picture's latent.")
    image: str = Field(description=f"The picture: {IMAGE}.", examples=[_IMAGE_EXAMPLE])
    inversion_steps: Steps | None = Field(default=None, description="Steps of the inversion; 50 if left out.")


class ResumeJob(JobOptions):
    """Draw a picture of its latent again: with other steps, to another stage."""

    model_config = _example(operation="resume", latent=_LATENT_EXAMPLE, size="1024x1024")
    makes: ClassVar[type[Spec]] = ResumeSpec
    operation: Literal["resume"] = Field(description="Take up a picture from its latent.")
    latent: str = Field(description="The latent of an earlier picture (`latent_id`).", examples=[_LATENT_EXAMPLE])
    stop_at: StopAt | None = Field(default=None, description="The last stage; the rest is resampled.")


JobRequest = Annotated[
    GenerateJob | VaryJob | InterpolateJob | EditJob | InpaintJob | UpscaleJob | EncodeJob | ResumeJob,
    Field(discriminator="operation"),
]
JOB_REQUESTS: TypeAdapter[JobRequest] = TypeAdapter(JobRequest)
