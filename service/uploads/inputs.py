"""From what a request calls a picture to one that is kept: files, data URLs, addresses, and ids of things that are there."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from redis import Redis

from contract.connection import outages
from contract.errors import ContentBlocked, ImageNotFound, InvalidImage, InvalidMask, JobNotFound, QueueDown, StoreDown
from contract.outbound import Outbound
from contract.record import JobRecord
from contract.settings import Settings
from contract.store import IMAGE_ID, LATENT_ID, UPLOAD_ID, ImageStore, new_upload_id
from safety.picture_filter import PictureVerdict
from service.jobs.service import JobsService
from service.offload import Offload
from service.uploads.filter import InputFilter
from service.uploads.lines import Lines
from service.uploads.reader import PictureReader, Reading

WRITE_PATIENCE_SECONDS = 20.0
BASE64_MARK = ";base64,"


@dataclass(frozen=True)
class Input:
    """A picture that is kept: its id in the store, its size as it came, and the id of the mask that its transparency gives."""

    id: str
    width: int
    height: int
    mask_id: str | None = None

    @property
    def is_cropped(self) -> bool:
        """True when only the middle of the picture was kept, because it is not square."""
        return self.width != self.height


class InputsService:
    """Takes pictures in, and finds those that were taken in before. `key`: the caller's, whose they are."""

    def __init__(
        self, settings: Settings, redis: Redis, store: ImageStore, jobs: JobsService, outbound: Outbound, offload: Offload
    ) -> None:
        self.max_bytes = settings.max_upload_bytes
        self.ttl_seconds = settings.result_ttl_seconds
        self.redis = redis
        self.store = store
        self.jobs = jobs
        self.outbound = outbound
        self.offload = offload
        self.writing = Offload(patience_seconds=WRITE_PATIENCE_SECONDS)
        self.lines = Lines()
        self.reader = PictureReader(settings.max_upload_pixels)
        self.filter = InputFilter(settings)

    async def keep(self, data: bytes, key: str, param: str) -> Input:
        """Keep a picture. Raises InvalidImage, ContentBlocked, UploadsBusy, or an outage."""
        self._check_size(data, param)
        reading, verdict = await self._see(data, key, param)
        assert reading.picture is not None
        if not verdict.allowed:
            raise ContentBlocked(verdict.categories, scores=verdict.scores, param=param)
        mask_id = None if reading.mask is None else await self._put(reading.mask)
        kept = Input(await self._put(reading.picture), reading.width, reading.height, mask_id)
        await self.offload(QueueDown, self._remember, kept, key)
        return kept

    async def keep_mask(self, data: bytes, key: str, param: str, *, white_paints: bool = False) -> Input:
        """Keep a mask: what is transparent (or white) is painted anew. Raises InvalidMask and what `keep` raises."""
        self._check_size(data, param)
        async with self.lines.turn(key):
            reading = await self.reader.read(data, "mask", param, white_paints=white_paints)
        assert reading.mask is not None
        kept = Input(await self._put(reading.mask), reading.width, reading.height)
        await self.offload(QueueDown, self._remember, kept, key)
        return kept

    async def find(self, thing_id: str, key: str, param: str) -> Input:
        """Return an earlier output or upload. Raises ImageNotFound when it is not there, or another key's."""
        if UPLOAD_ID.fullmatch(thing_id):
            return await self.offload(QueueDown, self._recall, thing_id, key, param)
        if match := IMAGE_ID.fullmatch(thing_id):
            job = await self._job(match[1], thing_id, key, param)
            for image in (*job.images, *job.attachments.values()):
                if image.id == thing_id:
                    return Input(thing_id, image.width, image.height)
        raise _missing(thing_id, param)

    async def find_latent(self, latent_id: str, key: str, param: str) -> str:
        """Return the id of a latent that an earlier job left. Raises ImageNotFound like `find`."""
        if match := LATENT_ID.fullmatch(latent_id):
            job = await self._job(match[1], latent_id, key, param)
            if any(image.latent_id == latent_id for image in job.images):
                return latent_id
        raise _missing(latent_id, param)

    async def take(self, reference: str, key: str, param: str, own: Callable[[str], str]) -> Input:
        """Return the picture that `reference` names: an id, a data URL, an https address, or one of ours.

        own: gives the id for the address of a picture of this service's. Raises what `keep`, `find` and fetching raise.
        """
        reference = own(reference)
        if reference.startswith(("https://", "http://", "data:")):
            return await self.keep(await self._bytes(reference, param), key, param)
        return await self.find(reference, key, param)

    async def judge(self, reference: str, key: str, param: str, own: Callable[[str], str]) -> PictureVerdict:
        """Return what the filter says of a picture that is not kept. Raises what `take` raises but ContentBlocked."""
        reference = own(reference)
        if reference.startswith(("https://", "http://", "data:")):
            data = await self._bytes(reference, param)
            self._check_size(data, param)
        else:
            found = await self.find(reference, key, param)
            data = (await self.offload(StoreDown, self.store.get, found.id)).bytes
        return (await self._see(data, key, param))[1]

    async def take_mask(
        self, reference: str, key: str, param: str, own: Callable[[str], str], paints: Literal["transparent", "white"]
    ) -> Input:
        """Return the mask that `reference` names, like `take`; a mask that is kept already is white where it paints."""
        reference = own(reference)
        if reference.startswith(("https://", "http://", "data:")):
            data = await self._bytes(reference, param)
            return await self.keep_mask(data, key, param, white_paints=paints == "white")
        kept = await self.take(reference, key, param, own)
        if paints == "transparent" and kept.mask_id is not None:
            return Input(kept.mask_id, kept.width, kept.height)
        return kept

    async def delete(self, upload_id: str, key: str) -> None:
        """Remove an upload, and the mask beside it. Raises ImageNotFound."""
        if not UPLOAD_ID.fullmatch(upload_id):
            raise ImageNotFound(upload_id)
        kept = await self.find(upload_id, key, "id")
        for thing_id in (kept.mask_id, kept.id):
            if thing_id is not None:
                await self.writing(StoreDown, self.store.delete, thing_id)
        await self.offload(QueueDown, self._forget, kept.id)

    async def _see(self, data: bytes, key: str, param: str) -> tuple[Reading, PictureVerdict]:
        """Read a picture and have it looked at, both in one turn: either takes a core for a while."""
        async with self.lines.turn(key):
            reading = await self.reader.read(data, "picture", param)
            assert reading.picture is not None
            return reading, await self.filter.check(reading.picture)

    async def _bytes(self, reference: str, param: str) -> bytes:
        if not reference.startswith("data:"):
            return (await self.outbound.fetch(reference, self.max_bytes, param=param)).bytes
        head, mark, _ = reference[:200].partition(BASE64_MARK)
        if not mark:
            raise InvalidImage(param, "a data URL should begin like data:image/png;base64,")
        try:
            return base64.b64decode(reference[len(head) + len(mark) :], validate=True)
        except (binascii.Error, ValueError):
            raise InvalidImage(param, "its data URL is not base64") from None

    async def _put(self, data: bytes) -> str:
        upload_id = new_upload_id()
        await self.writing(StoreDown, self.store.put, upload_id, data)
        return upload_id

    async def _job(self, job_id: str, thing_id: str, key: str, param: str) -> JobRecord:
        try:
            return await self.jobs.fetch(job_id, key)
        except JobNotFound:
            raise _missing(thing_id, param) from None

    def _check_size(self, data: bytes, param: str) -> None:
        if len(data) > self.max_bytes:
            raise InvalidImage(param, f"it has {len(data)} bytes; at most {self.max_bytes} are accepted")

    def _remember(self, kept: Input, key: str) -> None:
        about = json.dumps({"key": key, "width": kept.width, "height": kept.height, "mask_id": kept.mask_id})
        with outages():
            self.redis.set(_record(kept.id), about, ex=self.ttl_seconds)

    def _recall(self, upload_id: str, key: str, param: str) -> Input:
        with outages():
            about = json.loads(self.redis.get(_record(upload_id)) or "{}")
        if about.pop("key", None) != key:
            raise _missing(upload_id, param)
        return Input(upload_id, **about)

    def _forget(self, upload_id: str) -> None:
        with outages():
            self.redis.delete(_record(upload_id))


def check_mask(picture: Input, mask: Input, param: str = "mask") -> None:
    """Return if the mask fits the picture. Raises InvalidMask."""
    if (picture.width, picture.height) != (mask.width, mask.height):
        sizes = f"{mask.width}x{mask.height} pixels and the picture {picture.width}x{picture.height}"
        raise InvalidMask(param, f"it has {sizes}; both must have the same size")


def _record(upload_id: str) -> str:
    return f"unclip:upload:{upload_id}"


def _missing(thing_id: str, param: str) -> ImageNotFound:
    error = ImageNotFound(thing_id)
    error.param = param
    return error
