"""Is a picture what was asked for? Pure decisions over what the judges saw in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import hypot

from evals.judges.judges import Seen, SeenObject
from evals.quality.asked import Asked

AMONG = 5
"""A classifier's guesses among which a name counts as recognised, as in ImageNet's top-5 accuracy; in scenes too, where an
object may be 15 pixels wide."""
INSIDE = 0.2
"""Centres nearer than this share of the picture's side: the smaller object lies within the larger."""
Group = Callable[[str], str]
"""From a concept to the group of look-alikes that the judges tell apart: clock faces are one group."""


def is_named(groups: Sequence[str], asked: Asked, group: Group, among: int = AMONG) -> bool:
    """One of the asked names is among the classifier's first guesses."""
    return not wanted(asked, group).isdisjoint(groups[:among])


def is_coloured(seen: Seen, asked: Asked, group: Group) -> bool:
    """The asked object is seen, in the asked colour."""
    return any(one.colour == asked.colour for one in _named(seen, wanted(asked, group)))


def has_colour(seen: Seen, asked: Asked, group: Group) -> bool:
    """Something is seen in the asked colour, whatever it is."""
    return any(one.colour == asked.colour for one in seen.objects)


def is_counted(seen: Seen, asked: Asked, group: Group) -> bool:
    """As many of the asked object as were asked for, and nothing else."""
    return len(_named(seen, wanted(asked, group))) == asked.count == len(seen.objects)


def has_count(seen: Seen, asked: Asked, group: Group) -> bool:
    """As many objects as were asked for, whatever they are."""
    return len(seen.objects) == asked.count


def is_related(seen: Seen, asked: Asked, group: Group) -> bool:
    """Both objects are seen, one pair of them in the asked relation."""
    firsts, others = _named(seen, wanted(asked, group)), _named(seen, _other(asked, group))
    return any(stands(first, other, asked.relation or "") for first in firsts for other in others)


def has_both(seen: Seen, asked: Asked, group: Group) -> bool:
    """Both objects are seen, wherever they are."""
    return bool(_named(seen, wanted(asked, group))) and bool(_named(seen, _other(asked, group)))


def has_backdrop(seen: Seen, asked: Asked, group: Group) -> bool:
    """The backdrop is the asked one."""
    return seen.backdrop == asked.backdrop


def stands(first: SeenObject, other: SeenObject, relation: str) -> bool:
    """Does `first` stand in that relation to `other`? By their centres; of a slanted pair the longer way decides."""
    right, down = first.x - other.x, first.y - other.y
    sideways = abs(right) > abs(down)
    return {
        "left of": sideways and right < 0,
        "right of": sideways and right > 0,
        "above": not sideways and down < 0,
        "below": not sideways and down > 0,
        "on": not sideways and down < 0,
        "inside": hypot(right, down) < INSIDE and first.size < other.size,
    }[relation]


def wanted(asked: Asked, group: Group) -> frozenset[str]:
    """The groups of the asked names."""
    return frozenset(group(concept) for concept in asked.concepts)


def _other(asked: Asked, group: Group) -> frozenset[str]:
    return frozenset([group(asked.other or "")])


def _named(seen: Seen, groups: frozenset[str]) -> list[SeenObject]:
    return [one for one in seen.objects if not groups.isdisjoint(one.likely[:AMONG])]
