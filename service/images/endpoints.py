"""`/v1/images/{image_id}`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from contract.errors import ImageNotFound, InvalidKey, StoreDown
from service.callers import LOCAL, CallerIfAny
from service.errors import errors
from service.images.schemas import IMAGE_REPLY
from service.resources import Images, Inputs, Signed

router = APIRouter(prefix="/v1/images", tags=["images"])

# The id names the job and the place in it, so what stands behind it never changes; callers alone may keep copies.
HEADERS = {"Cache-Control": "private, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"}


@router.get("/{image_id}", response_class=Response, responses={**IMAGE_REPLY, **errors(ImageNotFound, InvalidKey, StoreDown)})
async def read_image(
    image_id: str,
    caller: CallerIfAny,
    images: Images,
    inputs: Inputs,
    signing: Signed,
    expires: Annotated[str | None, Query(description="Of a signed address: when it closes, Unix seconds.")] = None,
    signature: Annotated[str | None, Query(description="Of a signed address.")] = None,
) -> Response:
    """Give the picture's file: to the key that it was made under, and for an hour to whoever has its signed address."""
    if caller is None:
        if not (expires and signature and (await signing.signer()).opens(image_id, expires, signature)):
            raise InvalidKey
    elif caller != LOCAL:
        await inputs.find(image_id, caller.key_id, "id")
    image = await images.read(image_id)
    return Response(image.bytes, media_type=image.content_type, headers=HEADERS)
