"""Edits and variations on the wire: OpenAI's fields, and the cascade's own beside them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import UnsupportedParameter
from contract.spec import EditSpec, Share, Spec, Steps, VarySpec
from service.drawing import PriorRequest
from service.jobs.requests import IMAGE, Boxes, EditJob, InpaintJob, VaryJob
from service.openai.fields import OpenAIRequest, as_job

_FILE = {"type": "string", "format": "binary"}
FILE = "file"
"""Stands for a picture that came as a file, where a reference would stand."""


class ImageReference(BaseModel):
    """A picture as OpenAI's JSON names one."""

    model_config = ConfigDict(extra="forbid", strict=True)
    image_url: str | None = Field(default=None, description=f"{IMAGE[0].upper()}{IMAGE[1:]}.")
    file_id: str | None = Field(default=None, description="An upload id.")

    @property
    def reference(self) -> str | None:
        """What it names, if anything."""
        return self.image_url or self.file_id


Reference = str | ImageReference


class _OnPicture(OpenAIRequest):
    """Requests about one picture."""

    image: Reference | Annotated[list[Reference], Field(max_length=16)] | None = Field(
        default=None, description=f"In a form: the file, PNG, JPEG or WebP, told by its content. In JSON: {IMAGE}."
    )
    images: Annotated[list[Reference], Field(max_length=16)] | None = Field(
        default=None, description="Another name of `image` in JSON: a list with the one picture."
    )

    def references(self) -> list[str]:
        """Return the pictures that the request names."""
        given: list[Reference] = [*(self.image if isinstance(self.image, list) else [self.image] if self.image else [])]
        return [name for name in map(_named, [*given, *(self.images or [])]) if name]


class EditRequest(_OnPicture, PriorRequest):
    """OpenAI's image edit request. With a mask, or a transparent picture, that part is painted anew; else the words edit it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "a green apple", "image": "up_…", "size": "256x256"}]})
    makes: ClassVar[type[Spec]] = EditSpec

    prompt: str = Field(description="What the picture should show.", examples=["a green apple"])
    mask: Reference | None = Field(
        default=None, description="As `image`; what is transparent in it is painted anew. It has the picture's size."
    )
    mask_paints: Literal["transparent", "white"] | None = Field(default=None, description="What of the mask is painted anew.")
    mask_boxes: Boxes | None = Field(default=None, description="Instead of a mask: boxes, as shares of the sides. JSON only.")
    mask_prompt: str | None = Field(default=None, description="Instead of a mask: words for it.")
    canvas: Annotated[float, Field(ge=1, le=4, allow_inf_nan=False)] | None = Field(
        default=None, description="Paint around the picture, on a canvas so many times its size."
    )
    source_prompt: str | None = Field(default=None, description="Without a mask: what the picture shows now.")
    theta: Share | None = Field(default=None, description="Without a mask: how far to go, 0 to 1.")
    inversion_steps: Steps | None = Field(default=None, description="Without a mask: steps of the inversion.")
    markup: Any = Field(default=None, description="Refused by name.")

    @property
    def mask_reference(self) -> str | None:
        """What the request names as its mask."""
        return _named(self.mask) if self.mask else None

    def is_masked(self, has_mask_file: bool) -> bool:
        """True when the request itself says what is painted anew."""
        said = (self.mask_reference, self.mask_boxes, self.mask_prompt)
        return has_mask_file or any(value is not None for value in said) or (self.canvas or 1) > 1

    def job(self, is_masked: bool) -> InpaintJob | EditJob:
        """Return the job that this asks for; the pictures come beside. Raises UnsupportedParameter."""
        if self.markup is not None:
            raise UnsupportedParameter("markup", "markup is refused: a mask says what is painted anew")
        if is_masked:
            return as_job(self, InpaintJob, "inpaint", image=FILE)
        return as_job(self, EditJob, "edit", image=FILE)


class VariationRequest(_OnPicture):
    """OpenAI's image variation request: a picture, and no words."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": "up_…", "n": 2, "size": "256x256", "eta": 0.5}]})
    makes: ClassVar[type[Spec]] = VarySpec

    eta: Share | None = Field(default=None, description="0: the picture itself, as far as it can be found again; 1: free.")
    inversion: Literal["ddim", "noise"] | None = Field(default=None, description="Where the details come from.")
    inversion_steps: Steps | None = Field(default=None, description="Steps of the inversion; 50 if left out.")
    strength: Share | None = Field(default=None, description="Of `noise`: how much of the way is drawn anew.")

    def job(self) -> VaryJob:
        """Return the job that this asks for; the picture comes beside."""
        return as_job(self, VaryJob, "vary", image=FILE)


def form_body(model: type[OpenAIRequest], *files: str) -> dict[str, Any]:
    """Return the OpenAPI of a route that takes `model` as JSON, or as a form with `files`."""
    name = model.__name__
    parts = {"type": "object", "required": ["image"], "properties": dict.fromkeys(files, _FILE), "additionalProperties": True}
    return {
        "requestBody": {
            "required": True,
            "description": f"A form has the fields of {name} as text, and files: {', '.join(files)}.",
            "content": {
                "multipart/form-data": {"schema": parts},
                "application/json": {"schema": _inlined(model.model_json_schema())},
            },
        }
    }


def _inlined(schema: Any, kinds: dict[str, Any] | None = None) -> Any:
    """Return a schema with what it refers to in its place: below a route there is nowhere to keep definitions."""
    if isinstance(schema, list):
        return [_inlined(part, kinds) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kinds = kinds if kinds is not None else schema.pop("$defs", {})
    if "$ref" in schema:
        return _inlined(kinds[schema["$ref"].rpartition("/")[2]], kinds)
    return {name: _inlined(part, kinds) for name, part in schema.items()}


def _named(reference: Reference | None) -> str | None:
    return reference.reference if isinstance(reference, ImageReference) else reference
