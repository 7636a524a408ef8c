"""Who has had how much: start-time fair queueing over lanes, and over API keys within a lane (Goyal, Vin and Cheng 1996)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from contract.spec import Lane

WEIGHTS: Mapping[Lane, float] = {"interactive": 7 / 8, "batch": 1 / 8}
"""Shares of a lane while both have rows: whoever waits for a picture comes first, but batches never stand still."""


@dataclass(frozen=True)
class Served:
    """What lanes (over their weight) and keys have been served, in the stages' unit of cost. Who is missing has had nothing."""

    lanes: Mapping[Lane, float] = field(default_factory=dict)
    keys: Mapping[tuple[Lane, str], float] = field(default_factory=dict)

    def turn(self, lanes: Collection[Lane], slack_cost: float) -> Lane | None:
        """Return whose turn it is among lanes with rows: batch only when it is alone, or owed more than the slack."""
        if "interactive" not in lanes:
            return "batch" if "batch" in lanes else None
        if "batch" not in lanes:
            return "interactive"
        lead = self.lanes.get("interactive", 0.0) - self.lanes.get("batch", 0.0)
        return "batch" if lead > slack_cost / WEIGHTS["interactive"] else "interactive"

    def of_key(self, lane: Lane, key: str) -> float:
        """Return what a key has been served in a lane."""
        return self.keys.get((lane, key), 0.0)

    def keys_in_turn(self, keys: Collection[str], lane: Lane, slack_cost: float) -> set[str]:
        """Return the keys that are no further than the slack ahead of the one served least."""
        least = min(self.of_key(lane, key) for key in keys)
        return {key for key in keys if self.of_key(lane, key) <= least + slack_cost}


NOTHING_SERVED = Served()


class Shares:
    """Keeps the accounts. A lane or key is on them while it has jobs; one that comes anew starts level with the least served.

    So nobody saves up turns while away, and what is kept does not grow with the number of keys ever seen.
    """

    def __init__(self) -> None:
        self._lanes: dict[Lane, float] = {}
        self._keys: dict[tuple[Lane, str], float] = {}
        self._jobs: Counter[tuple[Lane, str]] = Counter()

    def enter(self, lane: Lane, key: str) -> None:
        """Note a job that begins."""
        if lane not in self._lanes:
            self._lanes[lane] = min(self._lanes.values(), default=0.0)
        if (lane, key) not in self._keys:
            self._keys[lane, key] = min((had for (other, _), had in self._keys.items() if other == lane), default=0.0)
        self._jobs[lane, key] += 1

    def leave(self, lane: Lane, key: str) -> None:
        """Note a job that has left."""
        self._jobs[lane, key] -= 1
        if self._jobs[lane, key] <= 0:
            del self._jobs[lane, key]
            del self._keys[lane, key]
            if not any(other == lane for other, _ in self._jobs):
                del self._lanes[lane]

    def charge(self, lane: Lane, key: str, cost: float) -> None:
        """Put what a row was served on its lane's and its key's account; rows whose job has left cost nobody anything."""
        if (lane, key) in self._keys:
            self._lanes[lane] += cost / WEIGHTS[lane]
            self._keys[lane, key] += cost

    def served(self) -> Served:
        """Return how things stand."""
        return Served(self._lanes, self._keys)
