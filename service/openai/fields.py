"""What all of OpenAI's image endpoints have beside what is drawn: how the reply comes, and fields that mean nothing here."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator

from contract.errors import UnsupportedParameter
from contract.spec import MAX_USER_CHARACTERS
from service.drawing import PictureRequest

REFUSED = {
    "complexity": "it has no meaning for this model; set steps instead",
    "frame_count": "animated pictures are not offered here; POST /v1/jobs draws frames",
    "frame_duration_ms": "animated pictures are not offered here; POST /v1/jobs draws frames",
    "svg": "vector pictures are not offered",
}
"""Fields of OpenAI's API that would change what the caller gets, and are refused by name. Null, false and 0 ask for nothing."""

IGNORED = "Accepted for OpenAI's clients, without effect"
MAX_PARTIAL_IMAGES = 3

Job = TypeVar("Job", bound=PictureRequest)


class OpenAIRequest(PictureRequest):
    """OpenAI's own fields."""

    # What the DALL·E 2 API drew when asked for no size.
    default_size: ClassVar[str | None] = "1024x1024"

    response_format: Literal["url", "b64_json"] | None = Field(
        default=None,
        description="`url`: where each picture can be fetched. `b64_json`: the file itself, base64. Left out: `b64_json` when "
        "`model` is `gpt-image-1`, as that model did, else `url`.",
    )
    on_disconnect: Literal["cancel", "detach"] | None = Field(
        default=None,
        description="What becomes of the job when the caller hangs up: `detach` (if left out) lets it go on, and its result is "
        "kept like any other; `cancel` cancels it.",
    )
    stream: bool | None = Field(
        default=None, description="Reply with server-sent events, up to `partial_images` of them early."
    )
    partial_images: Annotated[int, Field(ge=0, le=MAX_PARTIAL_IMAGES)] | None = Field(
        default=None,
        description="With `stream`: how many times each picture is shown while it is drawn, as the decoder expects it. Fewer "
        "may come when it is drawn quickly.",
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
    input_fidelity: Literal["high", "low"] | None = Field(default=None, description=f"{IGNORED}.")
    complexity: Any = Field(default=None, description="Refused by name.")
    frame_count: Any = Field(default=None, description="Refused by name.")
    frame_duration_ms: Any = Field(default=None, description="Refused by name.")
    svg: Any = Field(default=None, description="Refused by name.")

    @model_validator(mode="after")
    def _refuse_by_name(self) -> Self:
        for field, reason in REFUSED.items():
            if getattr(self, field) not in (None, False, 0):
                raise UnsupportedParameter(field, f"{field} is refused: {reason}")
        if self.background == "transparent":
            raise UnsupportedParameter("background", "background 'transparent' is refused: pictures are opaque here")
        if self.partial_images and not self.stream:
            raise UnsupportedParameter(
                "partial_images", "partial_images needs stream: without it there is nobody to show them to"
            )
        if self.partial_images:
            self.previews = True
        return self

    @property
    def end_user(self) -> str | None:
        """The caller's name for its end user, under whichever of OpenAI's two names it came."""
        return self.safety_identifier or self.user or None

    @property
    def wants_base64(self) -> bool:
        """Whether the reply holds the files themselves."""
        default = "b64_json" if (self.model or "").startswith("gpt-image") else "url"
        return (self.response_format or default) == "b64_json"


WIRE_ONLY = {*OpenAIRequest.model_fields} - {*PictureRequest.model_fields}


def as_job(request: OpenAIRequest, kind: type[Job], operation: str, **own: Any) -> Job:
    """Return the request as the job that it asks for. Raises UnsupportedParameter for a field that this job does not have.

    own: fields of the job that stand otherwise, or not at all, in the request.
    """
    said = {name: value for name in type(request).model_fields if (value := getattr(request, name)) is not None}
    fields = {name: value for name, value in said.items() if name not in WIRE_ONLY and name not in ("images", "mask")}
    fields |= {"size": request.size or request.default_size, **own}
    if request.end_user is not None:
        fields["user"] = request.end_user
    for name in fields:
        if name not in kind.model_fields:
            raise UnsupportedParameter(name, f"{name} has no meaning for this request, which is the operation {operation}")
    return kind.model_validate({**fields, "operation": operation})
