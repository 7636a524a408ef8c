"""Uploads on the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.uploads.inputs import Input

_FILE = {"type": "string", "format": "binary"}


class UploadResponse(BaseModel):
    """A picture that a caller brought, ready to be named in a job."""

    id: str = Field(examples=["up_5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f"])
    object: Literal["upload"] = "upload"
    url: str = Field(description="Where it can be seen as it was understood: the middle square, sRGB, at most 1024 px, PNG.")
    width: int = Field(description="Of the file that was sent, upright.", examples=[1600])
    height: int = Field(examples=[1200])
    mask: str | None = Field(
        default=None, description="The id of the mask that its transparency gives; null for a picture that is opaque."
    )
    cropped: bool = Field(description="Whether only the middle was kept, because the picture is not square.")

    @classmethod
    def of(cls, kept: Input, url: str) -> UploadResponse:
        """Return `kept` as callers see it."""
        return cls(id=kept.id, url=url, width=kept.width, height=kept.height, mask=kept.mask_id, cropped=kept.is_cropped)


UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file: as the part `image` of a form, or as the whole body.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": _FILE,
                        "purpose": {"type": "string", "enum": ["picture", "mask"], "default": "picture"},
                    },
                }
            },
            **{kind: {"schema": _FILE} for kind in ("image/png", "image/jpeg", "image/webp", "application/octet-stream")},
        },
    }
}
