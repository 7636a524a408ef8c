"""`/v1/images/edits` and `/v1/images/variations`: forms and JSON, a picture and perhaps a mask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import ValidationError

from contract.errors import (
    IdempotencyKeyReused,
    InvalidForm,
    InvalidJson,
    InvalidParameter,
    JobCanceled,
    JobFailed,
    MethodNotAllowed,
    UnclipError,
    UnsupportedParameter,
    WaitTimedOut,
)
from contract.spec import AnySpec
from service.callers import Caller
from service.drafts import Drafts
from service.drawing import DrawingWarning
from service.errors import DRAWING_REFUSALS, PICTURE_REFUSALS, error_of_validation, errors
from service.forms import is_form, read_form
from service.idempotency import OnceOnly
from service.openai.edit_schemas import EditRequest, VariationRequest, form_body
from service.openai.replies import Replies
from service.openai.schemas import STREAM_REPLY, ImagesResponse
from service.resources import Drafting, json_only
from service.uploads.inputs import Input

router = APIRouter(prefix="/v1", tags=["openai"])

REFUSALS = (*DRAWING_REFUSALS, *PICTURE_REFUSALS, InvalidForm, IdempotencyKeyReused, JobFailed, JobCanceled, WaitTimedOut)
Asked = TypeVar("Asked", EditRequest, VariationRequest)
NO_SQUARE = "the picture is {}x{} pixels: its middle was taken, as pictures are square here"


@dataclass(frozen=True)
class Brought(Generic[Asked]):
    """A request, and the files that came with it."""

    body: Asked
    files: Mapping[str, bytes]


@router.post(
    "/images/edits",
    response_model=ImagesResponse,
    response_model_exclude_none=True,
    openapi_extra=form_body(EditRequest, "image", "mask"),
    responses={**STREAM_REPLY, **errors(*REFUSALS)},
)
async def edit_image(request: Request, caller: Caller, drafts: Drafting, replies: Replies, once: OnceOnly) -> Response:
    """Edit a picture and wait. What is transparent in the mask, or in the picture itself, is painted anew, and all else stays
    exactly as it is; without a mask the whole picture is edited by the difference of two prompts."""
    brought = await read_request(request, EditRequest, drafts)
    body, mask_file = brought.body, brought.files.get("mask")
    is_masked = body.is_masked(mask_file is not None)
    await drafts.check(body.job(is_masked), caller.key_id)  # before any picture is read
    picture = await take_picture(brought, drafts, caller.key_id)
    given = {"image": picture}
    if mask_file is not None:
        paints = (body.mask_paints or "transparent") == "white"
        given["mask"] = await drafts.inputs.keep_mask(mask_file, caller.key_id, "mask", white_paints=paints)
    job = body.job(is_masked or picture.mask_id is not None)
    if body.mask_reference is not None:
        job = job.model_copy(update={"mask": body.mask_reference})
    spec = await drafts.spec(job, caller.key_id, given)
    return await replies.reply(spec, body, once, "image_edit", notes_of(picture))


@router.post(
    "/images/variations",
    response_model=ImagesResponse,
    response_model_exclude_none=True,
    openapi_extra=form_body(VariationRequest, "image"),
    responses={**STREAM_REPLY, **errors(*REFUSALS)},
)
async def vary_image(request: Request, caller: Caller, drafts: Drafting, replies: Replies, once: OnceOnly) -> Response:
    """Draw variations of a picture and wait: its meaning stays, its details are drawn anew."""
    brought = await read_request(request, VariationRequest, drafts)
    job = brought.body.job()
    await drafts.check(job, caller.key_id)  # before any picture is read
    picture = await take_picture(brought, drafts, caller.key_id)
    spec: AnySpec = await drafts.spec(job, caller.key_id, {"image": picture})
    return await replies.reply(spec, brought.body, once, "image_variation", notes_of(picture))


@router.get("/images/edits", include_in_schema=False)
@router.get("/images/variations", include_in_schema=False)
async def refuse_to_list() -> None:
    """Answer 405: without this route a GET here would look for an image named "edits"."""
    raise HTTPException(MethodNotAllowed.status, headers={"Allow": "POST"})


async def read_request(request: Request, model: type[Asked], drafts: Drafts) -> Brought[Asked]:
    """Read a form or JSON. Raises InvalidForm, InvalidJson, UnsupportedMediaType, or a RequestError that names a field."""
    try:
        if not is_form(request):
            await json_only(request)
            return Brought(model.model_validate(await _json(request)), {})
        form = await read_form(request, drafts.inputs.max_bytes)
        for name, files in form.files.items():
            if name not in ("image", "mask"):
                raise UnsupportedParameter(name, f"{name} is refused: no file of that name is taken here")
            if len(files) > 1:
                raise UnsupportedParameter(name, f"one picture is drawn from at a time, and {len(files)} were sent as {name}")
        brought = {name: found[0] for name, found in form.files.items()}
        return Brought(model.model_validate(form.fields_of(model)), brought)
    except ValidationError as error:
        raise _refusal_of(error) from None


async def take_picture(brought: Brought[Asked], drafts: Drafts, key: str) -> Input:
    """Return the one picture of a request. Raises InvalidParameter when there is none, or more."""
    references = brought.body.references()
    count = len(references) + ("image" in brought.files)
    if count != 1:
        words = "image is required" if not count else f"one picture is drawn from at a time, and {count} were sent"
        raise InvalidParameter("image", words)
    if "image" in brought.files:
        return await drafts.inputs.keep(brought.files["image"], key, "image")
    return await drafts.inputs.take(references[0], key, "image", drafts.urls.own)


def notes_of(picture: Input) -> list[DrawingWarning]:
    """Return what the caller should know of its picture."""
    if not picture.is_cropped:
        return []
    message = NO_SQUARE.format(picture.width, picture.height)
    return [DrawingWarning(code="image_cropped", message=message, param="image")]


def _refusal_of(error: ValidationError) -> UnclipError:
    return error_of_validation([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()])


async def _json(request: Request) -> object:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise InvalidJson("it cannot be read") from None
