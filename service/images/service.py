"""Reading pictures from the store, off the event loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from contract.errors import StoreDown
from contract.store import ImageStore, StoredImage
from service.offload import Offload

ANSWERED_SECONDS = 1.0
"""How long a store that has answered is taken to be there, where a job is only to be queued."""


class ImagesService:
    """Pictures, for the routes that serve them."""

    def __init__(self, store: ImageStore, offload: Offload, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.offload = offload
        self.clock = clock
        self._answered_at = -math.inf

    async def read(self, image_id: str) -> StoredImage:
        """Return a picture's file and type. Raises ImageNotFound or StoreDown."""
        return await self.offload(StoreDown, self.store.get, image_id)

    async def delete(self, image_id: str) -> None:
        """Remove one file; one that is not there is no error. Raises StoreDown."""
        await self.offload(StoreDown, self.store.delete, image_id)

    async def delete_job(self, job_id: str) -> None:
        """Remove every picture and latent of a job. Raises StoreDown."""
        await self.offload(StoreDown, self.store.delete_job, job_id)

    async def ping(self) -> None:
        """Return if the store answers. Raises StoreDown."""
        asked_at = self.clock()
        await self.offload(StoreDown, self.store.ping)
        self._answered_at = asked_at

    async def be_there(self) -> None:
        """Return if the store answered within the last ANSWERED_SECONDS, or does now. Raises StoreDown.

        An answer is believed for a moment, silence never: a store that is away is asked again by everybody.
        """
        if self.clock() - self._answered_at >= ANSWERED_SECONDS:
            await self.ping()
