"""Addresses of things, as the caller of one request reaches this service."""

from __future__ import annotations

from service.signing import UrlSigner


class PublicUrls:
    """Builds them on `base_url`; those of pictures signed, where the service asks for keys."""

    def __init__(self, base_url: str, signer: UrlSigner | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.signer = signer

    @property
    def images(self) -> str:
        """How the addresses of pictures begin."""
        return f"{self.base_url}/v1/images/"

    def image(self, image_id: str) -> str:
        """Return the address of a picture."""
        query = f"?{self.signer.query(image_id)}" if self.signer else ""
        return f"{self.base_url}/v1/images/{image_id}{query}"

    def job(self, job_id: str) -> str:
        """Return the address of a job."""
        return f"{self.base_url}/v1/jobs/{job_id}"
