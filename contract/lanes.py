"""The queues: one of RQ's for each lane and API key, named `lane:key`."""

from __future__ import annotations

from typing import get_args

from rq.defaults import RQ_KEY_PREFIX

from contract.spec import LOCAL_KEY, Lane

LANES: tuple[Lane, ...] = get_args(Lane)
"""The lanes, the urgent one first."""
QUEUES = f"{RQ_KEY_PREFIX}:queues"
"""RQ's set of the keys of all queues."""
_LIST_PREFIX = f"{RQ_KEY_PREFIX}:queue:"


def queue_name(lane: str = LANES[0], key: str = LOCAL_KEY) -> str:
    """Return the RQ queue of one lane and API key."""
    return f"{lane}:{key}"


def lane_and_key(name: str) -> tuple[Lane, str] | None:
    """Return the lane and the API key of a queue of ours; None for any other program's queue."""
    lane, _, key = name.partition(":")
    return next(((known, key) for known in LANES if known == lane and key), None)


def list_key(name: str) -> str:
    """Return the Redis key of a queue's list of waiting jobs."""
    return _LIST_PREFIX + name


def lane_prefix(lane: str) -> str:
    """Return how the keys of all lists of a lane begin."""
    return list_key(queue_name(lane, ""))


def name_of_list(key: str) -> str:
    """Return the name of the queue whose list has this Redis key."""
    return key.removeprefix(_LIST_PREFIX)
