"""Growing waits between tries of something that is down."""

from __future__ import annotations

import random


class Backoff:
    """Doubling waits, jittered so that many workers do not knock at once."""

    def __init__(self, first_seconds: float, most_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._tries = 0

    def next_seconds(self) -> float:
        """Return how long to wait before the next try."""
        seconds = min(self._most_seconds, self._first_seconds * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return seconds * random.uniform(0.75, 1.0)

    def reset(self) -> None:
        """Begin again with short waits: the last try worked."""
        self._tries = 0
