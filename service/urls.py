"""Addresses of things, as the caller of one request reaches this service."""

from __future__ import annotations


class PublicUrls:
    """Builds them on `base_url`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")

    def image(self, image_id: str) -> str:
        """Return the address of a picture."""
        return f"{self.base_url}/v1/images/{image_id}"

    def job(self, job_id: str) -> str:
        """Return the address of a job."""
        return f"{self.base_url}/v1/jobs/{job_id}"
