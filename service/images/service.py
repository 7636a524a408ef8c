"""Reading pictures from the store, off the event loop."""

from __future__ import annotations

from contract.errors import StoreDown
from contract.store import ImageStore, StoredImage
from service.offload import Offload


class ImagesService:
    """Pictures, for the routes that serve them."""

    def __init__(self, store: ImageStore, offload: Offload) -> None:
        self.store = store
        self.offload = offload

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
        await self.offload(StoreDown, self.store.ping)
