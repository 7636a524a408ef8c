"""The picture filter on what comes in; its network is read when the first picture does."""

from __future__ import annotations

import io
import threading

import anyio
import anyio.to_thread
import structlog
from PIL import Image

from contract.errors import FilterDown
from contract.settings import Settings
from safety.picture_filter import PictureFilter, PictureVerdict

log = structlog.get_logger("service")


class InputFilter:
    """Looks at pictures that the reader has made: they are PNG, small, and no danger to whoever decodes them."""

    def __init__(self, settings: Settings) -> None:
        self.is_on = settings.picture_filter
        self.threshold = settings.picture_filter_threshold
        self._loaded: PictureFilter | None = None
        self._lock = threading.Lock()

    async def check(self, png: bytes) -> PictureVerdict:
        """Return the verdict on a picture. Raises FilterDown when nobody could look at it."""
        if not self.is_on:
            return PictureVerdict.unseen()
        try:
            return await anyio.to_thread.run_sync(self._look, png)
        except Exception as error:
            log.exception("the picture filter failed")
            raise FilterDown(f"{type(error).__name__}: {error}") from error

    def _look(self, png: bytes) -> PictureVerdict:
        # One picture at a time: the network takes a whole core.
        with self._lock:
            self._loaded = self._loaded or PictureFilter.load(self.threshold)
            with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
                (verdict,) = self._loaded.check([picture])
            return verdict
