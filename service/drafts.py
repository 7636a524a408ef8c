"""From a request to a spec, pictures included: first all that costs nothing, then what has to be fetched, read and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from contract.errors import InvalidMask
from contract.spec import AnySpec, BoxMask, ImageMask, ImageSource, LatentSource, PromptMask, PromptSource, Spec
from service.admission import Admission, Room
from service.drawing import PictureRequest
from service.jobs.requests import InpaintJob, InterpolateJob
from service.uploads.inputs import Input, InputsService, check_mask
from service.urls import PublicUrls


@dataclass(frozen=True)
class Drafts:
    """Makes specs of requests. `given`, where a method has it: pictures by field that came with the request as files."""

    admission: Admission
    inputs: InputsService
    urls: PublicUrls

    async def spec(
        self, request: PictureRequest, key: str, given: Mapping[str, Input] | None = None, is_room: Room | None = None
    ) -> AnySpec:
        """Return the spec of `request`. is_room: as in `Admission.draft`. Raises what Admission and InputsService raise."""
        draft = await self.check(request, key, is_room)
        return cast(AnySpec, draft(**await self._pictures(request, key, given or {})))

    async def check(self, request: PictureRequest, key: str, is_room: Room | None = None) -> Callable[..., Spec]:
        """Return the spec of `request` but for its pictures. Raises what Admission raises."""
        return await self.admission.draft(request, key, is_room)

    async def _pictures(self, request: PictureRequest, key: str, given: Mapping[str, Input]) -> dict[str, Any]:
        """Return the fields of the spec that name pictures."""
        if isinstance(request, InterpolateJob):
            return {"sources": tuple([await self._source(source, key) for source in request.sources])}
        if isinstance(request, InpaintJob):
            picture = given.get("image") or await self._take(request.image, key, "image")
            return {"source": ImageSource(id=picture.id), "mask": await self._mask(request, picture, key, given.get("mask"))}
        if "source" not in request.makes.model_fields:
            return {}
        if "image" in given:
            return {"source": ImageSource(id=given["image"].id)}
        return {"source": await self._source(request, key)}

    async def _source(self, request: Any, key: str) -> ImageSource | LatentSource | PromptSource:
        if (latent := getattr(request, "latent", None)) is not None:
            return LatentSource(id=await self.inputs.find_latent(latent, key, "latent"))
        if (image := getattr(request, "image", None)) is not None:
            return ImageSource(id=(await self._take(image, key, "image")).id)
        return PromptSource(prompt=self.admission.checked_words(request.prompt, "prompt"))

    async def _mask(
        self, request: InpaintJob, picture: Input, key: str, given: Input | None
    ) -> ImageMask | BoxMask | PromptMask:
        if request.mask_boxes is not None:
            return BoxMask(boxes=tuple((box[0], box[1], box[2], box[3]) for box in request.mask_boxes))
        if request.mask_prompt is not None:
            return PromptMask(prompt=self.admission.checked_words(request.mask_prompt, "mask_prompt"))
        mask = given
        if mask is None and request.mask is not None:
            paints = request.mask_paints or "transparent"
            mask = await self.inputs.take_mask(request.mask, key, "mask", self.urls.own, paints)
        if mask is not None:
            check_mask(picture, mask)
            return ImageMask(id=mask.id)
        if picture.mask_id is None:
            # The whole canvas around the picture, where there is one, needs no mask of its own.
            if request.canvas is not None and request.canvas > 1:
                return BoxMask(boxes=((0.0, 0.0, 0.0, 0.0),))
            raise InvalidMask("mask", "there is none, and the picture is opaque: nothing says what is to be painted anew")
        return ImageMask(id=picture.mask_id)

    async def _take(self, reference: str, key: str, param: str) -> Input:
        return await self.inputs.take(reference, key, param, self.urls.own)
