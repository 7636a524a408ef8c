"""Whose picture is read next: a line for each API key, of which one picture at a time stands in the line of all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from contract.errors import UploadsBusy
from contract.spec import LOCAL_KEY

AT_ONCE = 2
"""How many pictures are read and looked at at a time; the others wait."""
MAX_WAITING = 32
"""So many wait at most, and of one key half of it: no key fills the line."""


@dataclass
class Line:
    """One key's pictures. `length`: of those in hand and those that wait."""

    limiter: anyio.CapacityLimiter
    length: int = 0


class Lines:
    """Lets pictures in. One key's bad pictures, however many, hold up another's by what one of them takes.

    A key has one place even while nobody else wants the other: a newcomer then finds it free, and a core as well.
    """

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._all: anyio.CapacityLimiter | None = None

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for a place and hold it. Raises UploadsBusy when too many wait already."""
        # Made here: a limiter belongs to a running event loop.
        everyone = self._all = self._all or anyio.CapacityLimiter(AT_ONCE)
        # Where there are no API keys there is nobody to be fair to.
        places, room = (AT_ONCE, MAX_WAITING) if key == LOCAL_KEY else (1, MAX_WAITING // 2)
        line = self._lines.get(key) or Line(anyio.CapacityLimiter(places))
        if line.length >= places + room or sum(each.length for each in self._lines.values()) >= AT_ONCE + MAX_WAITING:
            raise UploadsBusy
        self._lines[key] = line
        line.length += 1
        try:
            async with line.limiter, everyone:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[key]
