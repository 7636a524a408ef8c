"""The root of every error a caller can meet; the whole tree is drawn in `contract.errors`."""

from __future__ import annotations

from typing import ClassVar


class UnclipError(Exception):
    """The root: a message for people, and what a program needs to act on it.

    `param` names the request field at fault, if one is; `retry_after_seconds` is sent as the Retry-After header, if set.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retry_after_seconds: int | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def wire(self) -> dict[str, dict[str, object]]:
        """Return the reply body of this error."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class RequestError(UnclipError):
    """The request cannot be served as it is written."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


def shortened(value: object, limit: int = 80) -> str:
    """Quote what a caller sent without repeating megabytes of it, nor anything a terminal would obey."""
    text = "".join(character if character.isprintable() else "�" for character in str(value)[: limit + 1])
    return text if len(text) <= limit else f"{text[:limit]}…"
