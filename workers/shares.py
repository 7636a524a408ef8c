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
    """Keeps the accounts. A lane or key is on them while it has jobs; a lane that comes anew starts level with the other.

    A key that comes anew starts `head_start_cost` behind the level of its lane, which is what the key served least has had: a
    small job of one who was away is drawn at once, before those of one who keeps the engine busy (as threads of low latency
    are warped by Duda and Cheriton 1999). That much is lent once: an account outlasts its jobs until the level has passed it by
    as much, so coming and going brings no more than staying. Nobody saves up turns while away, and what is kept does not grow
    with the number of keys ever seen.
    """

    def __init__(self, head_start_cost: float = 0.0) -> None:
        self._head_start_cost = head_start_cost
        self._lanes: dict[Lane, float] = {}
        self._keys: dict[tuple[Lane, str], float] = {}
        self._jobs: Counter[tuple[Lane, str]] = Counter()
        self._levels: dict[Lane, float] = {}

    def enter(self, lane: Lane, key: str) -> None:
        """Note a job that begins."""
        if lane not in self._lanes:
            self._lanes[lane] = min(self._lanes.values(), default=0.0)
        if (lane, key) not in self._jobs:
            start = self._level(lane) - self._head_start_cost
            self._keys[lane, key] = max(self._keys.get((lane, key), start), start)
        self._jobs[lane, key] += 1

    def leave(self, lane: Lane, key: str) -> None:
        """Note a job that has left."""
        level = self._level(lane)
        self._jobs[lane, key] -= 1
        if self._jobs[lane, key] <= 0:
            del self._jobs[lane, key]
        is_empty = not any(other == lane for other, _ in self._jobs)
        gone = [place for place in self._keys if place[0] == lane and place not in self._jobs]
        for place in gone:
            if is_empty or self._keys[place] <= level - self._head_start_cost:
                del self._keys[place]
        if is_empty:
            del self._lanes[lane], self._levels[lane]

    def charge(self, lane: Lane, key: str, cost: float) -> None:
        """Put what a row was served on its lane's and its key's account; rows whose job has left cost nobody anything."""
        if (lane, key) in self._jobs:
            self._lanes[lane] += cost / WEIGHTS[lane]
            self._keys[lane, key] += cost

    def served(self) -> Served:
        """Return how things stand."""
        return Served(self._lanes, self._keys)

    def _level(self, lane: Lane) -> float:
        """Return what the key served least has had, of those with jobs; it never falls, whoever comes.

        Asked before every change of who has jobs, and in between accounts only grow: so no higher level is missed.
        """
        least = min((had for place, had in self._keys.items() if place[0] == lane and place in self._jobs), default=0.0)
        self._levels[lane] = max(self._levels.get(lane, 0.0), least)
        return self._levels[lane]
