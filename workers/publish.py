"""From pixels to stored files: filter, resample, encode, sign, put; in a few threads beside the engine.

Only when every picture of a job lies in the store does the job's result go on to the queue, so a job marked done is readable.
A job that ends otherwise leaves no picture behind, as far as the store can be reached.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

import structlog
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from contract.errors import ImageNotFound, StoreDown
from contract.record import BlockedPicture, ImageRecord, JobFault, JobResult
from contract.spec import OutputFormat
from contract.store import CONTENT_TYPES, LATENT_TYPE, image_id, latent_id
from workers.attachments import attachments_of
from workers.backoff import Backoff
from workers.engine import Drawn, Order, Picture
from workers.picture_check import FilterFailed, PictureCheck, all_blocked, blocked_picture, filter_failed
from workers.pictures import resized
from workers.provenance import Provenance, png_text
from workers.tally import PUBLISH

# zlib's levels beyond 4 cost a 1024 px picture several times the time and save few bytes.
PNG_COMPRESS_LEVEL = 4


class Store(Protocol):
    """The part of the image store that publishing uses."""

    def put(self, image_id: str, data: bytes, content_type: str, /) -> None:
        """Keep a picture, whole or not at all. Raises StoreDown."""
        ...

    def delete_job(self, job_id: str, /) -> None:
        """Remove whatever was kept of a job. Raises StoreDown."""
        ...


class Abandoned(Exception):
    """Publishing was given up: the job goes back to the queue, or nobody wants its pictures any more."""


class Publisher:
    """Publishes drawn jobs, several pictures at a time."""

    def __init__(self, store: Store, check: PictureCheck, *, threads: int = 2, provenance: Provenance | None = None) -> None:
        """check: looks at every picture; there is no default, so that nobody goes without one by leaving it out."""
        self._store = store
        self._provenance = provenance
        self._check = check
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="publish")
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._unwanted: set[str] = set()
        self._log = structlog.get_logger(__name__)

    def publish(self, drawn: Drawn, done: Callable[[str, JobResult | JobFault], None]) -> None:
        """Store a job's pictures, then call `done` with its id and result, or with why not, from some other thread.

        A store that does not answer is asked again until the job's deadline.
        """
        started = time.monotonic()
        job_id = drawn.order.job_id
        left = len(drawn.pictures)

        def finish(_: Future[ImageRecord | BlockedPicture]) -> None:
            nonlocal left
            with self._lock:
                left -= 1
                if left:
                    return
            if not attachments_of(drawn):
                end(None)
                return
            with suppress(RuntimeError):  # closed in this moment: the job goes back to the queue
                self._pool.submit(self._store_attachments, drawn, futures).add_done_callback(end)

        def end(attached: Future[Mapping[str, ImageRecord]] | None) -> None:
            with self._lock:
                self._under_way.discard(job_id)
                is_unwanted = job_id in self._unwanted
                self._unwanted.discard(job_id)
            if is_unwanted:
                self._remove(job_id)
                return
            outcome = self._outcome(drawn, futures, attached, time.monotonic() - started)
            if outcome is not None:
                done(job_id, outcome)

        with self._lock:
            self._under_way.add(job_id)
        futures = [self._pool.submit(self._store_picture, drawn, index) for index in range(left)]
        for future in futures:
            future.add_done_callback(finish)

    def discard(self, job_id: str) -> None:
        """Remove what a canceled or failed job has put, and what it is about to put. Returns at once.

        A store that does not answer keeps what it has.
        """
        with self._lock:
            if job_id in self._under_way:
                self._unwanted.add(job_id)  # whoever handles its last picture removes them all
                return
        self._pool.submit(self._remove, job_id)

    def give_up(self) -> None:
        """Let go of what waits for the store: those jobs go back to the queue."""
        self._closing.set()

    def close(self) -> None:
        """Give up what is left, and end the threads."""
        self.give_up()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _outcome(
        self,
        drawn: Drawn,
        futures: Sequence[Future[ImageRecord | BlockedPicture]],
        attached: Future[Mapping[str, ImageRecord]] | None,
        seconds: float,
    ) -> JobResult | JobFault | None:
        try:
            pictures = [future.result(timeout=0) for future in futures]
            attachments = {} if attached is None else attached.result(timeout=0)
        except Abandoned:
            return None
        except StoreDown:
            return JobFault(code=StoreDown.code, message="the picture is drawn but the image store did not take it in time")
        except FilterFailed:
            return filter_failed()
        except Exception:
            if self._closing.is_set():
                return None
            self._log.exception("a picture could not be stored", job_id=drawn.order.job_id)
            return JobFault(code="publish_failure", message="the picture is drawn but could not be stored")
        return _told(drawn, pictures, attachments, seconds)

    def _store_picture(self, drawn: Drawn, index: int) -> ImageRecord | BlockedPicture:
        order = drawn.order
        size_px = order.spec.size_px
        product = drawn.products[index]
        # Before anything of it is put: a latent, too, could be drawn again.
        blocked = blocked_picture(self._check, product.pixels, order.job_id, index)
        if blocked is not None:
            return blocked
        spec, content_type = order.spec, CONTENT_TYPES[order.spec.output_format]
        seed = spec.picture_seed(index) if product.seed is None else product.seed
        data = encode(product.pixels, size_px, spec.output_format, spec.output_compression, png_text(spec, seed))
        data = self._signed(order, data, content_type)
        self._put(order, image_id(order.job_id, index), data, content_type)
        if product.latent is not None:
            self._put(order, latent_id(order.job_id, index), product.latent, LATENT_TYPE)
        return ImageRecord(
            id=image_id(order.job_id, index),
            index=index,
            seed=seed,
            width=size_px,
            height=size_px,
            content_type=content_type,
            bytes=len(data),
            latent_id=None if product.latent is None else latent_id(order.job_id, index),
            candidate_scores=product.candidate_scores,
            at=product.at,
        )

    def _store_attachments(
        self, drawn: Drawn, futures: Sequence[Future[ImageRecord | BlockedPicture]]
    ) -> Mapping[str, ImageRecord]:
        """Keep what is told beside the pictures; nothing where one of them failed or was kept back, for it would show that."""
        if not all(future.exception(timeout=0) is None and isinstance(future.result(), ImageRecord) for future in futures):
            return {}
        order, records = drawn.order, {}
        for number, (name, attachment) in enumerate(attachments_of(drawn).items()):
            # The counted ids go on behind the pictures', so that whatever is done with a job's pictures is done with these.
            index = len(drawn.pictures) + number
            data, content_type, width, height = attachment.encode(order.spec.size_px)
            # A mask is no picture that anybody drew.
            data = self._signed(order, data, content_type) if name == "animation" else data
            self._put(order, image_id(order.job_id, index), data, content_type)
            records[name] = ImageRecord(
                id=image_id(order.job_id, index),
                index=index,
                seed=order.spec.seed,
                width=width,
                height=height,
                content_type=content_type,
                bytes=len(data),
            )
        return records

    def _signed(self, order: Order, data: bytes, content_type: str) -> bytes:
        return data if self._provenance is None else self._provenance.sign(data, content_type, order)

    def _put(self, order: Order, thing_id: str, data: bytes, content_type: str) -> None:
        """Put one file, as often as it takes. Raises StoreDown at the job's deadline, Abandoned when nobody wants it."""
        backoff = Backoff(first_seconds=0.2, most_seconds=5.0)
        while True:
            if self._closing.is_set() or order.job_id in self._unwanted:
                raise Abandoned
            try:
                self._store.put(thing_id, data, content_type)
                return
            except StoreDown as error:
                wait = backoff.next_seconds()
                if time.monotonic() + wait >= order.deadline:
                    raise
                self._log.warning("the image store does not answer", job_id=order.job_id, reason=error.reason)
                self._closing.wait(wait)

    def _remove(self, job_id: str) -> None:
        try:
            self._store.delete_job(job_id)
        except StoreDown as error:
            self._log.warning("pictures of an ended job stay in the store", job_id=job_id, reason=error.reason)
        except ImageNotFound:
            return  # not an id of ours, so there never was a picture


def _told(
    drawn: Drawn, pictures: Sequence[ImageRecord | BlockedPicture], attachments: Mapping[str, ImageRecord], seconds: float
) -> JobResult | JobFault:
    images = tuple(picture for picture in pictures if isinstance(picture, ImageRecord))
    blocked = tuple(picture for picture in pictures if isinstance(picture, BlockedPicture))
    if not images:
        return all_blocked(blocked)
    return JobResult(
        images=images,
        blocked=blocked,
        attachments=attachments,
        source_prompt=drawn.products[0].source_prompt,
        native_size=max(drawn.pictures[0].shape[:2]),
        timings={stage: round(spent, 4) for stage, spent in {**drawn.seconds, PUBLISH: seconds}.items()},
        truncated_tokens=drawn.truncated_tokens,
    )


def encode(picture: Picture, size_px: int, output_format: OutputFormat, compression: int, text: PngInfo | None = None) -> bytes:
    """Encode a native picture, (height, width, 3) uint8, as a file of `size_px` squared; resampled if need be.

    compression: JPEG's and WebP's quality, 0 to 100. text: what a PNG says of itself.
    """
    image = Image.fromarray(resized(picture, size_px))
    file = io.BytesIO()
    if output_format == "png":
        image.save(file, format="PNG", compress_level=PNG_COMPRESS_LEVEL, pnginfo=text)
    else:
        image.save(file, format=output_format.upper(), quality=compression)
    return file.getvalue()
