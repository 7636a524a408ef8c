"""When a delivery that failed is tried again: soon at first, then more and more seldom, for more than a day."""

from __future__ import annotations

from random import Random

DELAYS_SECONDS = (5, 30, 300, 1800, 7200, 18_000, 36_000, 36_000)
"""After the first try, the second … In all 27 hours and a half."""
JITTER = 0.2
LONGEST_WISH_SECONDS = 24 * 3600


def delay_seconds(tries: int, chance: Random, wish_seconds: float = 0.0) -> float | None:
    """Return how long to wait after so many tries, None when there were enough.

    wish_seconds: the receiver's Retry-After. Jittered, so that a receiver that comes back does not meet everything at once.
    """
    if tries > len(DELAYS_SECONDS):
        return None
    delay = DELAYS_SECONDS[tries - 1] * chance.uniform(1 - JITTER, 1 + JITTER)
    return max(delay, min(wish_seconds, LONGEST_WISH_SECONDS))


def wish_of(header: str | None) -> float:
    """Read Retry-After in seconds; 0 for none, and for a date, which nobody sends to a webhook."""
    return float(header) if header and header.strip().isdecimal() and len(header) < 10 else 0.0
