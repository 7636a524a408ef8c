"""Errors of what callers bring beside words: forms, pictures, addresses. A part of the tree in `contract/errors.py`."""

from __future__ import annotations

from contract.error_root import RequestError, shortened


class InvalidForm(RequestError):
    """A multipart body that cannot be read, or has more parts than are taken."""

    code = "invalid_form"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the form cannot be read: {reason}")


class InvalidImage(RequestError):
    """A file that is not a picture which can be taken."""

    code = "invalid_image"

    def __init__(self, param: str, reason: str) -> None:
        super().__init__(f"the picture in {param!r} cannot be used: {reason}", param=param)


class InvalidMask(InvalidImage):
    """A mask that does not say what is to be painted anew, or not on this picture."""

    code = "invalid_mask"


class UrlRefused(RequestError):
    """An address that is never called: malformed, or leading into a private network."""

    code = "url_refused"

    def __init__(self, url: str, reason: str, param: str | None = None) -> None:
        super().__init__(f"the address {shortened(url)!r} is refused: {reason}", param=param)


class UrlUnreachable(RequestError):
    """An address that was called and gave no usable answer."""

    code = "url_unreachable"

    def __init__(self, url: str, reason: str, param: str | None = None) -> None:
        super().__init__(f"the address {shortened(url)!r} cannot be used: {reason}", param=param)
