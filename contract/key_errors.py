"""Errors of API keys: a part of the tree in `contract/errors.py`.

KeyRefused    401   InvalidKey · ScopeMissing 403
KeyNotFound   404   only the command line speaks of key ids
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.error_root import UnclipError, shortened


class KeyRefused(UnclipError):
    """The request's API key does not allow it."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class InvalidKey(KeyRefused):
    """A request without an API key, or with one that is unknown, revoked or outrun. Which of these is not told."""

    def __init__(self) -> None:
        super().__init__("this needs a valid API key, sent as `Authorization: Bearer uk_…`; the operator makes them")


class ScopeMissing(KeyRefused):
    """A valid API key that may not do this."""

    status = 403
    code = "insufficient_scope"

    def __init__(self, scope: str, held: Sequence[str]) -> None:
        super().__init__(f"this needs a key with the scope {scope}; this one has {', '.join(held) or 'none'}")


class KeyNotFound(UnclipError):
    """A key id that names no key, or a revoked one."""

    status = 404
    type = "invalid_request_error"
    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no key {shortened(key_id)!r} in force; `unclip keys list` shows them", param="id")
