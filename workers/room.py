"""Which jobs may join those in hand: lanes are full at so many rows, but not to an API key that has none there. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from contract.lanes import LANES, lane_and_key


class Room:
    """What is in the engine, and who may still come.

    A lane that is full takes nothing more of the keys it draws for. A key with nothing in it is let in all the same, so that it
    never waits for another's job to end, as long as the rows of all keys but the largest would not fill the lane by themselves:
    that bounds what is in hand, at about twice a full lane.
    """

    def __init__(self, rows: Mapping[str, int], most: int) -> None:
        """rows: in the engine, by the queue they came from. most: with so many a lane is full, the batch lane with half."""
        here: dict[str, list[int]] = defaultdict(list)
        for name, count in rows.items():
            here[_lane(name)].append(count)
        self._known = frozenset(rows)
        limits = dict(zip(LANES, (most, max(1, most // 2)), strict=True))
        self._open = {lane for lane in LANES if sum(here[lane]) < limits[lane]}
        self._open_to_newcomers = {lane for lane in LANES if sum(here[lane]) - max(here[lane], default=0) < limits[lane]}

    @property
    def is_shut(self) -> bool:
        """True when nobody at all may come."""
        return not self._open_to_newcomers

    def takes(self, name: str) -> bool:
        """Return whether another job of a queue may come."""
        return _lane(name) in (self._open if name in self._known else self._open_to_newcomers)


def _lane(name: str) -> str:
    return (lane_and_key(name) or (LANES[0], ""))[0]
