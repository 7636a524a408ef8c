"""Fair shares of lanes and keys: the accounts, and what they do to an engine under a flood."""

from __future__ import annotations

import pytest

from tests.workers.plain import PlainStages, make_spec
from workers.engine import Engine, Order
from workers.pick import Budget
from workers.shares import WEIGHTS, Shares

ONE_AT_A_TIME = Budget(1.0, patience_seconds=1e9, rows=8, is_shared=False)


def test_who_comes_anew_starts_level_with_the_least_served():
    shares = Shares()
    shares.enter("interactive", "a")
    shares.charge("interactive", "a", 9.0)
    shares.enter("interactive", "b")
    assert shares.served().of_key("interactive", "b") == 9.0


def test_a_head_start_is_lent_once():
    shares = Shares(head_start_cost=4.0)
    shares.enter("interactive", "flood")
    shares.charge("interactive", "flood", 14.0)
    had = []
    for _ in range(3):
        shares.enter("interactive", "modest")
        had.append(shares.served().of_key("interactive", "modest"))
        shares.charge("interactive", "modest", 3.0)
        shares.leave("interactive", "modest")
    assert had == [6.0, 9.0, 12.0], "four behind the level of ten, and then from where it was"
    shares.charge("interactive", "flood", 10.0)
    shares.enter("interactive", "modest")
    assert shares.served().of_key("interactive", "modest") == 16.0, "by now that is paid back"


def test_who_comes_behind_the_others_makes_nobody_else_come_further_behind():
    shares = Shares(head_start_cost=4.0)
    shares.enter("interactive", "flood")
    shares.charge("interactive", "flood", 14.0)
    for key in ("a", "b"):
        shares.enter("interactive", key)
    assert [shares.served().of_key("interactive", key) for key in ("a", "b")] == [6.0, 6.0]


def test_an_account_is_forgotten_when_its_head_start_would_be_whole_again():
    shares = Shares(head_start_cost=4.0)
    shares.enter("interactive", "flood")
    for number in range(100):
        shares.enter("interactive", str(number))
        shares.charge("interactive", str(number), 2.0)
        shares.leave("interactive", str(number))
        shares.charge("interactive", "flood", 1.0)
    assert len(shares.served().keys) < 5


def test_the_accounts_do_not_grow_with_the_keys_ever_seen():
    shares = Shares()
    for number in range(100):
        shares.enter("batch", str(number))
        shares.leave("batch", str(number))
    assert shares.served().keys == {}
    assert shares.served().lanes == {}


def test_a_row_whose_job_has_left_is_charged_to_nobody():
    shares = Shares()
    shares.enter("interactive", "a")
    shares.leave("interactive", "a")
    shares.charge("interactive", "a", 1.0)
    assert shares.served().keys == {}


def served_seeds(cascade: PlainStages) -> list[int]:
    return [seed for call in cascade.stages["decoder"].trace for seed, _ in call]


def admit(engine: Engine, name: str, seed: int, **fields: object) -> None:
    engine.admit(Order(name, make_spec(seed=seed, prior_steps=1, upsample_steps=1, **fields), float("inf")))


def test_a_flood_from_one_key_costs_another_no_more_than_half_the_engine():
    cascade = PlainStages()
    engine = Engine(cascade, ONE_AT_A_TIME)
    for number in range(6):
        admit(engine, f"flood-{number}", seed=number, steps=10, key="greedy")
    admit(engine, "modest", seed=77, steps=40, key="modest")
    while "modest" in engine.tickets:
        engine.tick()
    seeds = served_seeds(cascade)
    others = len(seeds) - seeds.count(77)
    assert seeds.count(77) == 40
    # Somewhat fewer: each of its jobs has also paid for steps in the prior and the upsampler.
    assert 30 <= others <= 40, "both keys had about the same, though one sent six times as many jobs"


@pytest.mark.parametrize("interactive", [1, 5])
def test_the_batch_lane_gets_its_eighth_and_no_more_while_interactive_rows_wait(interactive):
    cascade = PlainStages()
    engine = Engine(cascade, ONE_AT_A_TIME)
    admit(engine, "batch", seed=1000, steps=200, lane="batch")
    for number in range(interactive):
        admit(engine, str(number), seed=number, steps=200 // interactive)
    while any(name in engine.tickets for name in map(str, range(interactive))):
        engine.tick()
    seeds = served_seeds(cascade)
    share = seeds.count(1000) / len(seeds)
    assert share == pytest.approx(WEIGHTS["batch"], abs=0.03)


def test_a_batch_alone_has_the_whole_engine():
    cascade = PlainStages()
    engine = Engine(cascade, ONE_AT_A_TIME)
    admit(engine, "batch", seed=5, steps=3, lane="batch")
    while engine.tick():
        pass
    assert len(engine.outcomes()) == 1
