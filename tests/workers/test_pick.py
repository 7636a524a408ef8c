"""The choice of the next call, without a tensor in sight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.pick import Batch, Budget, Load, pick

BUDGET = Budget(call_cost=4.0, patience_seconds=1.0, rows=8)


def load(stage: str, *rows: str, cost: float = 1.0, since: float = 0.0) -> Load[str]:
    return Load(stage, cost, rows, since)


def test_nothing_waits_nothing_runs():
    assert pick([load("prior"), load("decoder")], BUDGET, now=0) is None


def test_downstream_goes_first():
    assert pick([load("prior", "a"), load("decoder", "b")], BUDGET, now=0.5) == Batch("decoder", ("b",))


def test_a_stage_passed_over_for_too_long_goes_before_downstream():
    loads = [load("prior", "a", since=0), load("decoder", "b", since=1.4)]
    assert pick(loads, BUDGET, now=1.5) == Batch("prior", ("a",))


def test_of_two_neglected_stages_the_longer_waiting_goes_first():
    loads = [load("prior", "a", since=0.2), load("decoder", "b", since=0.1), load("upsample_256", "c", since=4)]
    assert pick(loads, BUDGET, now=5) == Batch("decoder", ("b",))


def test_the_oldest_rows_fill_the_call_until_its_cost_is_reached():
    assert pick([load("decoder", "a", "b", "c", cost=1.5)], BUDGET, now=0) == Batch("decoder", ("a", "b"))


def test_the_head_runs_even_when_it_alone_is_dearer_than_a_call():
    assert pick([load("upsample_1024", "a", "b", cost=16)], BUDGET, now=0) == Batch("upsample_1024", ("a",))


def test_a_cpu_call_costs_no_more_than_the_dearest_step():
    budget = Budget.of("cpu", [0.25, 1.0, 2.0])
    assert pick([load("decoder", "a", "b", "c")], budget, now=0) == Batch("decoder", ("a", "b"))


@given(
    loads=st.lists(
        st.builds(
            Load,
            stage=st.sampled_from("pdu"),
            cost=st.floats(0.01, 100),
            rows=st.lists(st.integers(), max_size=5).map(tuple),
            waiting_since=st.floats(0, 10),
        ),
        max_size=4,
    ),
    now=st.floats(10, 20),
)
def test_whatever_waits_the_head_of_the_chosen_stage_runs_and_the_rest_fits(loads, now):
    batch = pick(loads, BUDGET, now=now)
    assert (batch is None) == (not any(one.rows for one in loads))
    if batch is not None:
        chosen = [one for one in loads if one.stage == batch.stage and one.rows[: len(batch.rows)] == batch.rows]
        assert any(len(batch.rows) == 1 or one.cost * len(batch.rows) <= BUDGET.call_cost * 1.000001 for one in chosen)
