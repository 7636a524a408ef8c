"""Errors of a service that has no room for more: a part of the tree in `contract/errors.py`.

BusyError   429   QueueFull · KeyQueueFull · RateLimited · TooManyJobs · UploadsBusy   (Retry-After)
"""

from __future__ import annotations

from contract.error_root import UnclipError


class BusyError(UnclipError):
    """The service is working, and has no room for more."""

    status = 429
    type = "rate_limit_error"
    code = "busy"
    retry_after_seconds = 5


class QueueFull(BusyError):
    """As many jobs wait as the operator allows."""

    code = "queue_full"

    def __init__(self, depth: int, limit: int, retry_after_seconds: int | None = None) -> None:
        super().__init__(f"{depth} jobs are waiting and the limit is {limit}; try again later")
        self.retry_after_seconds = retry_after_seconds or BusyError.retry_after_seconds


class KeyQueueFull(BusyError):
    """One API key has as many jobs waiting as the operator allows it."""

    code = "key_queue_full"

    def __init__(self, depth: int, limit: int, retry_after_seconds: int | None = None) -> None:
        super().__init__(f"{depth} jobs of this API key are waiting and its limit is {limit}; try again later")
        self.retry_after_seconds = retry_after_seconds or BusyError.retry_after_seconds


class RateLimited(BusyError):
    """An API key was used more often than it may be. `limit` in words, such as `60 per 1 minute`."""

    code = "rate_limit_exceeded"

    def __init__(self, limit: str, retry_after_seconds: int) -> None:
        super().__init__(f"this key's limit of {limit} is reached; try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class TooManyJobs(BusyError):
    """An API key has as many unfinished jobs as it may have."""

    code = "too_many_jobs"

    def __init__(self, limit: int) -> None:
        super().__init__(f"this key may have {limit} unfinished jobs at once, and has them; wait for one to end, or cancel one")


class UploadsBusy(BusyError):
    """As many pictures wait to be read as are let in, or no process can be had to read one in."""

    code = "uploads_busy"

    def __init__(self) -> None:
        super().__init__("too many pictures are being read; try again shortly")
