"""OpenAI's image API on the wire: its fields, and which of them mean something here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.catalog import ModelInfo
from service.blocked import BlockedImage
from service.drawing import DrawingRequest, DrawingWarning
from service.openai.fields import OpenAIRequest

STREAM_REPLY: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The pictures; with `stream`, the events that show them.",
        "content": {
            "text/event-stream": {
                "example": "event: image_generation.completed\n"
                'data: {"type":"image_generation.completed","b64_json":"…"}\n\ndata: [DONE]\n\n',
            }
        },
    },
}


class GenerationRequest(OpenAIRequest, DrawingRequest):
    """OpenAI's image generation request, with unclip's own fields beside it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "a red apple", "size": "256x256", "response_format": "url", "seed": 7}]}
    )


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
    model: str = Field(examples=["unclip-emoji"])
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
    operations: list[str] = Field(description="What the model has the parts for.")
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
            operations=list(model.operations),
            max_prompt_tokens=model.max_prompt_tokens,
            defaults=model.defaults.model_dump(),
        )


class ModelList(BaseModel):
    """The models served here: one."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
