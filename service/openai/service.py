"""A finished job, told as OpenAI's API tells it."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from contract.record import ImageRecord, JobRecord
from service.blocked import BlockedImage
from service.drawing import DrawingWarning, warnings_of
from service.images.service import ImagesService
from service.openai.schemas import GeneratedImage, ImagesResponse
from service.urls import PublicUrls


async def answer(
    job: JobRecord,
    wants_base64: bool,
    images: ImagesService,
    urls: PublicUrls,
    notes: Sequence[DrawingWarning] = (),
) -> ImagesResponse:
    """Return the reply for a job that has succeeded; `notes`: what its caller should know beside.

    Raises StoreDown or ImageNotFound when a wanted file cannot be read.
    """
    if wants_base64:
        data = [await _with_bytes(image, images) for image in job.images]
    else:
        data = [GeneratedImage(url=urls.image(image.id), seed=image.seed) for image in job.images]
    return ImagesResponse(
        created=int(job.created_at.timestamp()),
        data=data,
        size=job.spec.size,
        output_format=job.spec.output_format,
        native_size=job.native_size,
        model=job.spec.model,
        job_id=job.id,
        blocked=[BlockedImage.of(picture) for picture in job.blocked] or None,
        warnings=[*notes, *warnings_of(job)] or None,
    )


async def _with_bytes(image: ImageRecord, images: ImagesService) -> GeneratedImage:
    stored = await images.read(image.id)
    return GeneratedImage(b64_json=base64.b64encode(stored.bytes).decode("ascii"), seed=image.seed)
