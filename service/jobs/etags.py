"""ETags of jobs: another one whenever a caller would read something new."""

from __future__ import annotations

import hashlib

from contract.record import JobRecord
from service.urls import PublicUrls


def etag_of(job: JobRecord, urls: PublicUrls) -> str:
    """Return the tag of `job` as callers at this address see it.

    A weak one: signatures in picture addresses and estimates change from reply to reply without being news.
    """
    about = f"{urls.base_url} {job.model_dump_json()}".encode()
    return f'W/"{hashlib.sha256(about).hexdigest()[:32]}"'


def is_among(etag: str, if_none_match: str) -> bool:
    """True when `If-None-Match` names the tag, or anything at all; compared weakly, as RFC 9110 asks for here."""
    offered = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in offered or etag.removeprefix("W/") in offered
