"""The bell that says that a job waits somewhere: a list for idle workers, a channel for those that draw.

Each ring of the list wakes one idle worker; the channel of the same name is heard by all, and a busy one lets idle
ones go first.
"""

from __future__ import annotations

from typing import Any

BELL = "unclip:bell"
MAX_RINGS = 8


def ring(pipe: Any) -> None:
    """Say that a job came to some queue, in a transaction under way or at once on a plain connection."""
    pipe.rpush(BELL, "1")
    pipe.publish(BELL, "1")
