"""OpenAI's image API on the wire: its fields, and which of them mean something here."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.catalog import ModelInfo
from contract.errors import UnsupportedParameter
from contract.spec import MAX_USER_CHARACTERS
from service.blocked import BlockedImage
from service.drawing import DrawingRequest, DrawingWarning

REFUSED = {
    "stream": "streamed replies are not offered yet; leave it out and follow POST /v1/jobs for progress",
    "partial_images": "partial pictures are not offered yet; leave it out and follow POST /v1/jobs for progress",
    "complexity": "it has no meaning for this model; set steps instead",
    "frame_count": "animated pictures are not offered",
    "frame_duration_ms": "animated pictures are not offered",
    "svg": "vector pictures are not offered",
}
"""Fields of OpenAI's API that would change what the caller gets, and are refused by name. Null, false and 0 ask for nothing."""

IGNORED = "Accepted for OpenAI's clients, without effect"


class GenerationRequest(DrawingRequest):
    """OpenAI's image generation request, with unclip's own fields beside it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "a red apple", "size": "256x256", "response_format": "url", "seed": 7}]}
    )

    # What the DALL·E 2 API drew when asked for no size.
    default_size: ClassVar[str | None] = "1024x1024"

    response_format: Literal["url", "b64_json"] | None = Field(
        default="url", description="`url`: where each picture can be fetched. `b64_json`: the file itself, base64."
    )
    on_disconnect: Literal["cancel", "detach"] | None = Field(
        default=None,
        description="What becomes of the job when the caller hangs up: `detach` (if left out) lets it go on, and its result is "
        "kept like any other; `cancel` cancels it.",
    )
    safety_identifier: Annotated[str, Field(max_length=MAX_USER_CHARACTERS)] | None = Field(
        default=None, description="The newer name of `user`; wins over it unless empty."
    )
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"] | None = Field(
        default=None, description=f"{IGNORED}: set `steps` instead."
    )
    style: Literal["vivid", "natural"] | None = Field(default=None, description=f"{IGNORED}: say it in the prompt.")
    background: Literal["opaque", "auto", "transparent"] | None = Field(
        default=None, description="`opaque` and `auto` are without effect; `transparent` is refused."
    )
    moderation: Literal["auto", "low"] | None = Field(default=None, description=f"{IGNORED}: the filter is always the same.")
    stream: bool | None = Field(default=None, description="Only false: streaming is refused by name.")
    partial_images: int | None = Field(default=None, description="Only 0: partial pictures are refused by name.")
    complexity: Any = Field(default=None, description="Refused by name.")
    frame_count: Any = Field(default=None, description="Refused by name.")
    frame_duration_ms: Any = Field(default=None, description="Refused by name.")
    svg: Any = Field(default=None, description="Refused by name.")

    @model_validator(mode="after")
    def _refuse_by_name(self) -> GenerationRequest:
        for field, reason in REFUSED.items():
            if getattr(self, field) not in (None, False, 0):
                raise UnsupportedParameter(field, f"{field} is refused: {reason}")
        if self.background == "transparent":
            raise UnsupportedParameter("background", "background 'transparent' is refused: pictures are opaque here")
        return self

    @property
    def end_user(self) -> str | None:
        """The caller's name for its end user, under whichever of OpenAI's two names it came."""
        return self.safety_identifier or self.user or None


class GeneratedImage(BaseModel):
    """One picture: its `url` or its `b64_json`."""

    url: str | None = Field(default=None, examples=["http://127.0.0.1:8000/v1/images/5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f-0"])
    b64_json: str | None = Field(default=None, examples=[None])
    seed: int = Field(description="With this seed and n=1 the same picture is drawn again alone.")


class ImagesResponse(BaseModel):
    """OpenAI's reply, with the job behind it and what was not followed to the letter."""

    created: int = Field(description="When the job was submitted, Unix seconds.")
    data: list[GeneratedImage]
    size: str = Field(examples=["256x256"])
    output_format: str = Field(examples=["png"])
    native_size: int | None = Field(description="The side in pixels at which the model drew, before resampling to `size`.")
    model: str = Field(examples=["unclip-bootstrap"])
    job_id: str = Field(description="The job, at `/v1/jobs/{job_id}`.")
    blocked: list[BlockedImage] | None = Field(
        default=None, description="Pictures that the picture filter kept back; `data` then holds the others. Left out for none."
    )
    warnings: list[DrawingWarning] | None = Field(default=None, description="Left out when there is nothing to say.")


class ModelCard(BaseModel):
    """The served model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "unclip"
    native_sizes: list[int] = Field(description="Sides in pixels that the model draws without resampling.")
    stages: list[str] = Field(description="The cascade, in order of travel.")
    priors: list[str] = Field(description="The priors that a request may ask for.")
    decoders: list[str] = Field(description="The decoders that a request may ask for.")
    max_prompt_tokens: int = Field(description="The text window; tokens beyond it are not drawn, and reported.")
    defaults: dict[str, int | float] = Field(description="What a request that leaves these fields out gets.")

    @classmethod
    def of(cls, model: ModelInfo) -> ModelCard:
        """Return `model` as callers see it."""
        return cls(
            id=model.name,
            created=model.created,
            native_sizes=list(model.native_sizes),
            stages=list(model.stages),
            priors=list(model.priors),
            decoders=list(model.decoders),
            max_prompt_tokens=model.max_prompt_tokens,
            defaults=model.defaults.model_dump(),
        )


class ModelList(BaseModel):
    """The models served here: one."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
