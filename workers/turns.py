"""Whose turn it is: surplus round robin over the queues of a lane, and the interactive lane before the batch lane.

Deficit round robin (Shreedhar & Varghese 1995) must know a job's cost before it takes the job; here a queue may go into debt
for the job it took, and sits out rounds until that is paid. Pure: it knows neither Redis nor clock. One thread owns it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable

from contract.lanes import LANES, lane_and_key

INTERACTIVE, BATCH = LANES
QUANTUM = 1.0
"""What a queue may spend in a round; the cheapest job costs 1."""
BATCH_SHARE = 1 / 8
"""Of what both lanes spend while both wait, the batch lane gets this much, so that it is late but never starved."""
MAX_CREDIT = 8.0
"""So much can the batch lane save up at most: it takes no more at a stretch from those who watch."""


class Turns:
    """Chooses the next queue among those that wait, so that in the long run all spend alike."""

    def __init__(self) -> None:
        self._rings: dict[str, deque[str]] = {lane: deque() for lane in LANES}
        self._surplus: dict[str, float] = {}
        self._credit = 0.0
        self._is_contested = False

    def next(self, waiting: Collection[str], takes: Callable[[str], bool] = lambda _: True) -> str | None:
        """Return the queue to take the next job from, of those by name that have one; None where there are none.

        takes: says whether there is room for a queue's job now; where there is none, it keeps its place in the round.
        """
        lanes = {lane: [name for name in waiting if (lane_and_key(name) or ("", ""))[0] == lane] for lane in LANES}
        for lane, names in lanes.items():
            self._seat(lane, names)
        served = {lane: {name for name in names if takes(name)} for lane, names in lanes.items()}
        self._is_contested = all(served.values())
        if not any(served.values()):
            return None
        is_batch = self._credit >= QUANTUM if self._is_contested else not served[INTERACTIVE]
        lane = BATCH if is_batch else INTERACTIVE
        return self._turn(self._rings[lane], served[lane])

    def charge(self, name: str, cost: float) -> None:
        """Note what the job taken from a queue costs, in any unit in which the cheapest is 1."""
        self._surplus[name] = self._surplus.get(name, 0.0) - cost
        if not self._is_contested:
            return
        if name in self._rings[BATCH]:
            self._credit -= cost
        else:
            self._credit = min(MAX_CREDIT, self._credit + cost * BATCH_SHARE / (1 - BATCH_SHARE))

    def _seat(self, lane: str, names: Iterable[str]) -> None:
        """Seat who came, let go who left: nobody takes a surplus along, everybody their debts."""
        ring = self._rings[lane]
        there = set(names)
        for name in [name for name in ring if name not in there]:
            ring.remove(name)
            if self._surplus.get(name, 0.0) >= 0:
                self._surplus.pop(name, None)
        ring.extend(sorted(there.difference(ring)))

    def _turn(self, ring: deque[str], served: Collection[str]) -> str:
        # Nobody waits for rounds in which all only pay their debts: the least debt is paid by everybody at once.
        least = max(self._surplus.get(name, 0.0) for name in served)
        if least < 0:
            for name in served:
                self._surplus[name] = self._surplus.get(name, 0.0) - least
        while ring[0] not in served or self._surplus.get(ring[0], 0.0) <= 0:
            ring.rotate(-1)
            if ring[0] in served:
                self._surplus[ring[0]] = self._surplus.get(ring[0], 0.0) + QUANTUM
        return ring[0]
