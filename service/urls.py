"""Addresses of things, as the caller of one request reaches this service."""

from __future__ import annotations

from contract.store import Bucket
from service.signing import VALID_SECONDS, UrlSigner


class PublicUrls:
    """Builds them on `base_url`; those of pictures signed, where the service asks for keys.

    bucket: set where callers fetch their pictures from the bucket itself, at addresses that are signed for it.
    """

    def __init__(self, base_url: str, signer: UrlSigner | None = None, bucket: Bucket | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.signer = signer
        self.bucket = bucket

    def image(self, image_id: str) -> str:
        """Return the address of a picture."""
        if self.bucket is not None:
            return self.bucket.signed_address(image_id, VALID_SECONDS)
        query = f"?{self.signer.query(image_id)}" if self.signer else ""
        return f"{self._images}{image_id}{query}"

    def own(self, reference: str) -> str:
        """Return the id in the address of a picture of this service's; what is no such address, as it is."""
        if reference.startswith(self._images):
            return reference.removeprefix(self._images).partition("?")[0]
        return (self.bucket.id_at(reference) if self.bucket else None) or reference

    def job(self, job_id: str) -> str:
        """Return the address of a job."""
        return f"{self.base_url}/v1/jobs/{job_id}"

    @property
    def _images(self) -> str:
        return f"{self.base_url}/v1/images/"
