"""The choice of the next call, without a tensor in sight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.pick import Batch, Budget, Waiting, pick
from workers.shares import Served

BUDGET = Budget(call_cost=4.0, patience_seconds=1.0, rows=8)


def row(name: str, stage: str = "decoder", *, cost: float = 1.0, remaining: float = 10.0, since: float = 0.0, **fields):
    return Waiting(name, stage, cost, remaining, since, **fields)


def test_nothing_waits_nothing_runs():
    assert pick([], BUDGET, now=0) is None


def test_downstream_goes_first_where_less_is_left_to_do_there():
    waiting = [row("a", "prior", remaining=12), row("b", "decoder", remaining=9)]
    assert pick(waiting, BUDGET, now=0.5) == Batch("decoder", ["b"])


def test_a_short_way_upstream_goes_before_a_long_one_downstream():
    waiting = [row("long", "decoder", remaining=200), row("short", "prior", remaining=9)]
    assert pick(waiting, BUDGET, now=0.5) == Batch("prior", ["short"])


def test_a_row_joins_at_the_next_call():
    waiting = [row("nearly done", remaining=1), row("new", "prior", remaining=20, is_new=True)]
    assert pick(waiting, BUDGET, now=0.5) == Batch("prior", ["new"])


def test_a_row_passed_over_for_too_long_goes_before_all_but_newcomers():
    waiting = [row("a", "prior", remaining=12, since=0), row("b", since=1.4)]
    assert pick(waiting, BUDGET, now=1.5) == Batch("prior", ["a"])
    assert pick([*waiting, row("new", "upsample_256", is_new=True)], BUDGET, now=1.5) == Batch("upsample_256", ["new"])


def test_the_oldest_rows_fill_the_call_until_its_cost_is_reached():
    waiting = [row("a", cost=1.5), row("b", cost=1.5), row("c", cost=1.5)]
    assert pick(waiting, BUDGET, now=0) == Batch("decoder", ["a", "b"])


def test_nobody_is_skipped_to_make_room_for_a_smaller_row():
    waiting = [row("a"), row("large", cost=3.5), row("small", cost=0.5)]
    assert pick(waiting, BUDGET, now=0) == Batch("decoder", ["a"])


def test_a_call_takes_no_more_rows_than_its_stages_ceiling():
    budget = Budget(call_cost=100.0, patience_seconds=1.0, rows=8, ceilings={"decoder": 2})
    assert pick([row("a"), row("b"), row("c")], budget, now=0) == Batch("decoder", ["a", "b"])


def test_the_head_runs_even_when_it_alone_is_dearer_than_a_call():
    assert pick([row("a", cost=16), row("b", cost=16)], BUDGET, now=0) == Batch("decoder", ["a"])


def test_interactive_rows_go_before_batch_rows_which_fill_what_is_left():
    waiting = [row("b", lane="batch", remaining=1), row("i", lane="interactive")]
    assert pick(waiting, BUDGET, now=9) == Batch("decoder", ["i", "b"])


def test_where_sharing_gains_nothing_batch_rows_wait_their_turn():
    budget = Budget(call_cost=4.0, patience_seconds=1.0, rows=8, is_shared=False)
    assert pick([row("b", lane="batch"), row("i")], budget, now=0) == Batch("decoder", ["i"])


def test_a_batch_lane_that_is_owed_too_much_has_its_turn():
    waiting = [row("b", "prior", lane="batch"), row("i")]
    assert pick(waiting, BUDGET, Served(lanes={"interactive": 5.0, "batch": 5.0}), now=0).stage == "decoder"
    assert pick(waiting, BUDGET, Served(lanes={"interactive": 6.0, "batch": 5.0}), now=0).stage == "prior"


def test_a_key_that_is_too_far_ahead_waits_for_the_others():
    budget = Budget(call_cost=1.0, patience_seconds=100.0, rows=8, slack_cost=20.0)
    waiting = [row("greedy", remaining=1, key="greedy"), row("modest", remaining=50, key="modest")]
    level = Served(keys={("interactive", "greedy"): 20.0})
    ahead = Served(keys={("interactive", "greedy"): 21.0})
    assert pick(waiting, budget, level, now=0).rows == ["greedy"]
    assert pick(waiting, budget, ahead, now=0).rows == ["modest"]


def test_keys_served_least_are_the_first_to_fill_a_call():
    served = Served(keys={("interactive", "a"): 9.0, ("interactive", "b"): 1.0})
    budget = Budget(call_cost=3.0, patience_seconds=1.0, rows=8, slack_cost=100.0)
    waiting = [row("a1", key="a", remaining=1), row("a2", key="a"), row("a3", key="a"), row("b1", key="b")]
    assert pick(waiting, budget, served, now=0) == Batch("decoder", ["a1", "b1", "a2"])


def test_a_cpu_call_is_of_one_row_and_a_gpu_call_of_as_many_as_were_measured():
    costs = {"prior": 0.25, "decoder": 1.0, "upsample_256": 2.0}
    waiting = [row(name) for name in "abc"]
    assert pick(waiting, Budget.of("cpu", costs), now=0) == Batch("decoder", ["a"])
    assert pick(waiting, Budget.of("cuda:0", costs), now=0) == Batch("decoder", ["a", "b", "c"])
    assert pick(waiting, Budget.of("cuda:0", costs, {"decoder": 2}), now=0) == Batch("decoder", ["a", "b"])


def test_where_sharing_gains_nothing_newcomers_still_join_together():
    budget = Budget(call_cost=4.0, patience_seconds=1.0, rows=8, is_shared=False)
    waiting = [row("old", "prior"), row("new", "prior", is_new=True), row("newer", "prior", since=1, is_new=True)]
    assert pick(waiting, budget, now=0) == Batch("prior", ["new", "newer"])


STAGE_COSTS = {"p": 0.25, "d": 1.0, "u": 20.0}


@given(
    waiting=st.lists(
        st.builds(
            lambda stage, **fields: Waiting(stage=stage, cost=STAGE_COSTS[stage], **fields),
            row=st.uuids(),
            stage=st.sampled_from("pdu"),
            remaining=st.floats(0, 100),
            since=st.floats(0, 10),
            lane=st.sampled_from(["interactive", "batch"]),
            key=st.sampled_from("xyz"),
            is_new=st.booleans(),
        ),
        max_size=12,
    ),
    had=st.dictionaries(st.tuples(st.sampled_from(["interactive", "batch"]), st.sampled_from("xyz")), st.floats(0, 50)),
    slack_cost=st.floats(0, 20),
    now=st.floats(10, 20),
)
def test_whatever_waits_a_call_is_of_one_stage_within_its_budget_and_of_rows_that_wait(waiting, had, slack_cost, now):
    budget = Budget(call_cost=4.0, patience_seconds=1.0, rows=8, ceilings={"p": 5}, slack_cost=slack_cost)
    batch = pick(waiting, budget, Served(keys=had), now=now)
    assert (batch is None) == (not waiting)
    if batch is None:
        return
    of = {entry.row: entry for entry in waiting}
    chosen = [of[each] for each in batch.rows]
    assert {entry.stage for entry in chosen} == {batch.stage}
    assert len(set(batch.rows)) == len(batch.rows) <= (5 if batch.stage == "p" else 99)
    assert len(chosen) == 1 or sum(entry.cost for entry in chosen) <= 4.0
    newcomers = [entry for entry in waiting if entry.is_new and entry.lane == chosen[0].lane]
    assert chosen[0].is_new or not newcomers
