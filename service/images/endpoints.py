"""`/v1/images/{image_id}`."""

from __future__ import annotations

from fastapi import APIRouter, Response

from contract.errors import ImageNotFound, StoreDown
from service.errors import errors
from service.images.schemas import IMAGE_REPLY
from service.resources import Images

router = APIRouter(prefix="/v1/images", tags=["images"])

# The id names the job and the place in it, so what stands behind it never changes; callers alone may keep copies.
HEADERS = {"Cache-Control": "private, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"}


@router.get("/{image_id}", response_class=Response, responses={**IMAGE_REPLY, **errors(ImageNotFound, StoreDown)})
async def read_image(image_id: str, images: Images) -> Response:
    """Give the picture's file."""
    image = await images.read(image_id)
    return Response(image.bytes, media_type=image.content_type, headers=HEADERS)
