"""Whose turn it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from workers.turns import MAX_CREDIT, Turns

ANN, BOB, BATCH = "interactive:ann", "interactive:bob", "batch:ann"


def taken(turns: Turns, waiting: Iterable[str], times: int, costs: Mapping[str, float] | None = None) -> list[str]:
    """The queues that are served while all of these keep waiting."""
    names = []
    for _ in range(times):
        name = turns.next(list(waiting))
        assert name is not None
        turns.charge(name, (costs or {}).get(name, 1.0))
        names.append(name)
    return names


def test_nobody_waits_nobody_is_served():
    assert Turns().next([]) is None


def test_a_queue_that_is_none_of_ours_is_not_served():
    assert Turns().next(["default"]) is None


def test_two_keys_take_turns():
    served = taken(Turns(), [ANN, BOB], 6)
    assert served in ([ANN, BOB] * 3, [BOB, ANN] * 3)


def test_a_key_with_jobs_of_ten_pictures_gets_no_more_pictures_than_one_with_jobs_of_one():
    served = Counter(taken(Turns(), [ANN, BOB], 110, {ANN: 10.0}))
    assert served[ANN] * 10 == pytest.approx(served[BOB], abs=11)


def test_a_key_alone_is_served_at_once_whatever_it_owes():
    turns = Turns()
    assert taken(turns, [ANN], 3, {ANN: 1000.0}) == [ANN] * 3


def test_who_comes_late_is_served_next_but_makes_up_for_nothing():
    turns = Turns()
    taken(turns, [ANN], 50)
    assert Counter(taken(turns, [ANN, BOB], 20)) == {ANN: 10, BOB: 10}


def test_debts_outlast_an_absence():
    turns = Turns()
    taken(turns, [ANN, BOB], 2, {ANN: 10.0})
    taken(turns, [BOB], 1)
    assert taken(turns, [ANN, BOB], 5, {ANN: 10.0}).count(BOB) == 5


def test_a_flood_of_keys_is_served_evenly():
    names = [f"interactive:k{i}" for i in range(30)]
    assert set(Counter(taken(Turns(), names, 300)).values()) == {10}


def test_who_there_is_no_room_for_keeps_their_place():
    turns, floods, served = Turns(), [ANN, BOB, "interactive:cat"], []
    for _ in range(30):
        name = turns.next([*floods, "interactive:dan"], lambda name: name not in floods)
        assert name == "interactive:dan"
        turns.charge(name, 1.0)
        served += taken(turns, floods, 1)
    assert Counter(served) == dict.fromkeys(floods, 10)


def test_who_there_is_no_room_for_saves_up_no_turns():
    turns = Turns()
    for _ in range(50):
        turns.charge(turns.next([ANN, BOB], lambda name: name == BOB) or "", 1.0)
    assert Counter(taken(turns, [ANN, BOB], 20)) == {ANN: 10, BOB: 10}


def test_a_lane_that_there_is_no_room_for_does_not_hold_up_the_other():
    assert Turns().next([ANN, BATCH], lambda name: name == BATCH) == BATCH
    assert Turns().next([ANN, BATCH], lambda name: False) is None


def test_interactive_goes_before_batch_and_does_not_starve_it():
    served = Counter(taken(Turns(), [ANN, BATCH], 80))
    assert served[BATCH] == pytest.approx(10, abs=1)


def test_batch_alone_is_served():
    assert taken(Turns(), [BATCH], 3) == [BATCH] * 3


def test_a_large_batch_job_takes_its_share_and_no_more():
    served = Counter(taken(Turns(), [ANN, BATCH], 400, {BATCH: 10.0}))
    assert served[BATCH] * 10 / served[ANN] == pytest.approx(1 / 7, rel=0.2)


def test_the_first_of_many_batch_jobs_waits_for_no_more_than_its_share():
    assert BATCH in taken(Turns(), [ANN, BATCH], 9)


def test_saved_credit_is_bounded():
    turns = Turns()
    taken(turns, [ANN, BATCH], 3, {ANN: 1000.0})
    assert taken(turns, [ANN, BATCH], 20).count(BATCH) <= MAX_CREDIT + 3
