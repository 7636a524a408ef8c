"""`/v1/uploads`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from contract.errors import (
    BodyTooLarge,
    ContentBlocked,
    FilterDown,
    ImageNotFound,
    InvalidForm,
    InvalidImage,
    InvalidMask,
    InvalidParameter,
    QueueDown,
    RequestTooSlow,
    StoreDown,
    UploadsBusy,
)
from service.callers import Caller
from service.errors import errors
from service.forms import is_form, read_form
from service.resources import Inputs, Urls
from service.uploads.schemas import UPLOAD_BODY, UploadResponse

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

REFUSALS = (
    *(BodyTooLarge, ContentBlocked, FilterDown, InvalidForm, InvalidImage, InvalidMask, InvalidParameter),
    *(QueueDown, RequestTooSlow, StoreDown, UploadsBusy),
)


@router.post("", status_code=201, openapi_extra=UPLOAD_BODY, responses=errors(*REFUSALS))
async def upload_picture(request: Request, caller: Caller, inputs: Inputs, urls: Urls) -> UploadResponse:
    """Keep a picture, for jobs that name its id; it goes when results do (`UNCLIP_RESULT_TTL_HOURS`).

    PNG, JPEG or WebP, told by its content. With `purpose=mask` in a form: what is transparent in it is to be painted anew.
    """
    purpose = "picture"
    if is_form(request):
        form = await read_form(request, inputs.max_bytes)
        files = form.files.get("image", [])
        if len(files) != 1:
            raise InvalidParameter("image", f"the form should have one file in the part image, not {len(files)}")
        data, purpose = files[0], form.texts.get("purpose", ["picture"])[0]
    else:
        data = await request.body()
    if purpose not in ("picture", "mask"):
        raise InvalidParameter("purpose", "purpose should be picture or mask")
    keep = inputs.keep_mask if purpose == "mask" else inputs.keep
    kept = await keep(data, caller.key_id, "image")
    return UploadResponse.of(kept, urls.image(kept.id))


@router.delete("/{upload_id}", status_code=204, responses=errors(ImageNotFound, QueueDown, StoreDown))
async def delete_upload(upload_id: str, caller: Caller, inputs: Inputs) -> Response:
    """Remove an upload. Jobs that name it and have not begun fail."""
    await inputs.delete(upload_id, caller.key_id)
    return Response(status_code=204)
