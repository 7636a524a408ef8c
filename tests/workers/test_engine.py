"""pick → run → settle over stages without nets: who is served when, who fails, who leaves."""

from __future__ import annotations

import numpy as np
import pytest

from tests.workers.plain import PlainStages, make_spec
from workers.calls import MAX_RAISED, EngineBroken
from workers.engine import DONE, Drawn, Engine, Failed, Order
from workers.pick import Budget

ROOMY = Budget(call_cost=4.0, patience_seconds=0.0, rows=64)
NO_DEADLINE = float("inf")


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cascade() -> PlainStages:
    return PlainStages()


@pytest.fixture
def engine(cascade):
    return Engine(cascade, ROOMY)


def order(name: str, prompt: str = "a red apple", deadline: float = NO_DEADLINE, **fields: object) -> Order:
    return Order(name, make_spec(prompt, **fields), deadline)


def draw(engine: Engine, *orders: Order) -> dict[str, Drawn | Failed]:
    """Run the engine until all orders have ended."""
    for each in orders:
        engine.admit(each)
    ended = {}
    for _ in range(10_000):
        is_busy = engine.tick()
        ended.update({outcome.order.job_id: outcome for outcome in engine.outcomes()})
        if not is_busy:
            return ended
    raise AssertionError("the engine does not come to an end")


def test_an_engine_without_orders_has_nothing_to_do(engine):
    assert engine.tick() is False


def test_a_job_is_drawn_through_every_stage_in_as_many_steps_as_it_asks_for(engine, cascade):
    draw(engine, order("a", prior_steps=3, steps=5, upsample_steps=2))
    assert {name: len(stage.trace) for name, stage in cascade.stages.items()} == {
        "prior": 3,
        "decoder": 5,
        "upsample_256": 2,
    }


def test_rows_at_different_timesteps_share_calls_in_one_interleaved_schedule(engine, cascade):
    engine.admit(order("early", seed=1, steps=9))
    for _ in range(5):
        engine.tick()
    draw(engine, order("late", seed=2, steps=12))
    shared = [call for call in cascade.stages["decoder"].trace if len(call) > 1]
    assert shared, "both jobs must have been in the decoder at once"
    assert all(first_step != second_step for (_, first_step), (_, second_step) in shared)
    alone = [call[0][0] for call in cascade.stages["decoder"].trace if len(call) == 1]
    assert alone[0] == 1
    assert alone[-1] == 2, "the early job leaves at once when it is done; the late one goes on"


def test_a_picture_does_not_depend_on_who_shares_its_calls():
    alone = draw(Engine(PlainStages(), ROOMY), order("a", seed=7))["a"]
    crowd = draw(Engine(PlainStages(), ROOMY), order("x", seed=1), order("a", seed=7), order("y", seed=9, steps=31))["a"]
    assert np.array_equal(alone.pictures[0], crowd.pictures[0])


def test_picture_i_of_a_job_is_the_picture_of_its_own_seed(engine):
    drawn = draw(engine, order("three", n=3, seed=5), order("third", seed=7))
    assert np.array_equal(drawn["three"].pictures[2], drawn["third"].pictures[0])


def test_pictures_come_in_the_order_of_their_index(engine):
    # One row at a time, so that the rows end one after another.
    drawn = draw(Engine(PlainStages(), Budget(1.0, 100.0, 8)), order("a", n=3, seed=5))["a"]
    singles = [draw(Engine(PlainStages(), ROOMY), order("b", seed=seed))["b"].pictures[0] for seed in (5, 6, 7)]
    assert all(np.array_equal(ours, single) for ours, single in zip(drawn.pictures, singles, strict=True))


def test_truncated_words_are_reported(engine):
    assert draw(engine, order("a", "too many words … …"))["a"].truncated_tokens == 2


@pytest.mark.parametrize(("word", "code"), [("nan", "numerical_failure"), ("raise", "engine_failure")])
def test_a_bad_row_fails_its_job_and_nobody_elses(engine, word, code):
    ended = draw(engine, order("good", seed=1), order("bad", word, seed=2), order("fine", seed=3))
    assert isinstance(ended["good"], Drawn)
    assert isinstance(ended["fine"], Drawn)
    assert ended["bad"].fault.code == code


def test_a_call_that_raises_is_halved_until_the_bad_row_stands_alone(engine, cascade):
    draw(engine, *[order(str(seed), "raise" if seed == 3 else "fine", seed=seed) for seed in range(4)])
    calls = [[seed for seed, step in call] for call in cascade.stages["decoder"].trace]
    assert calls[:5] == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]


def test_an_engine_on_which_job_after_job_raises_gives_up_and_keeps_the_rest(engine):
    orders = [order(str(number), "raise", seed=number) for number in range(9)]
    with pytest.raises(EngineBroken):
        draw(engine, *orders)
    assert len(engine.outcomes()) < MAX_RAISED


def test_an_engine_that_cannot_take_on_job_after_job_gives_up(engine):
    orders = [order(str(number), "unreadable") for number in range(9)]
    with pytest.raises(EngineBroken):
        draw(engine, *orders)


def test_bad_jobs_among_good_ones_are_no_reason_to_give_up(engine):
    for number in range(2 * MAX_RAISED):
        ended = draw(engine, order("bad", "raise", seed=number), order("good", seed=number))
        assert isinstance(ended["good"], Drawn)


def test_the_pictures_of_neighbours_survive_a_halved_call():
    alone = draw(Engine(PlainStages(), ROOMY), order("a", seed=7))["a"]
    beside = draw(Engine(PlainStages(), ROOMY), order("bad", "raise", seed=2), order("a", seed=7))["a"]
    assert np.array_equal(alone.pictures[0], beside.pictures[0])


def test_one_bad_row_of_a_job_ends_all_its_rows(engine, cascade):
    ended = draw(engine, order("bad", "nan", n=3))
    assert ended["bad"].fault.code == "numerical_failure"
    assert len(cascade.stages["decoder"].trace) == 1


def test_a_job_that_cannot_begin_fails_by_itself(engine):
    ended = draw(engine, order("bad", "unreadable"), order("good"))
    assert ended["bad"].fault.code == "engine_failure"
    assert isinstance(ended["good"], Drawn)


def test_a_picture_that_cannot_be_read_out_fails_its_job(engine, cascade, monkeypatch):
    monkeypatch.setattr(cascade, "product", lambda row: 1 / 0)
    assert draw(engine, order("a"))["a"].fault.code == "engine_failure"


def test_a_canceled_job_is_not_served_again(engine, cascade):
    engine.admit(order("a", seed=1))
    engine.admit(order("b", seed=2))
    engine.tick()
    engine.drop("a")
    assert list(draw(engine)) == ["b"]
    served = [seed for call in cascade.stages["decoder"].trace for seed, _ in call]
    assert set(served) == {2}


def test_a_job_beyond_its_deadline_fails():
    clock = Clock()
    engine = Engine(PlainStages(), ROOMY, clock)
    engine.admit(order("late", deadline=5.0))
    engine.tick()
    clock.now = 5.0
    engine.tick()
    [outcome] = engine.outcomes()
    assert outcome.fault.code == "job_timeout"


def test_progress_names_the_stage_and_step_and_only_grows(engine):
    engine.admit(order("a", n=2, prior_steps=2, steps=3, upsample_steps=2))
    told = []
    while "a" in engine.tickets:
        told.append(engine.progress("a"))
        engine.tick()
    assert (told[0].stage, told[0].step, told[0].steps, told[0].fraction) == ("prior", 0, 2, 0.0)
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert {progress.stage for progress in told} - {DONE} == {"prior", "decoder", "upsample_256"}


def test_progress_weighs_stages_by_their_cost(engine):
    engine.admit(order("a", prior_steps=4, steps=2, upsample_steps=1))
    while engine.progress("a").stage != "upsample_256":
        engine.tick()
    # prior 4 × 0.25, decoder 2 × 1, upsample_256 1 × 2
    assert engine.progress("a").fraction == pytest.approx(3 / 5)


def test_seconds_are_told_by_stage(engine):
    seconds = draw(engine, order("a"))["a"].seconds
    assert set(seconds) == {"text", "prior", "decoder", "upsample_256"}


def test_a_shared_call_is_charged_to_its_rows_in_equal_parts():
    clock = Clock()
    cascade = PlainStages()
    engine = Engine(cascade, ROOMY, clock)
    plain_run = cascade.stages["prior"].run

    def run_for_a_second(rows):
        clock.now += 1.0
        plain_run(rows)

    cascade.stages["prior"].run = run_for_a_second
    ended = draw(engine, order("a", seed=1, prior_steps=3), order("b", n=2, seed=2, prior_steps=3))
    assert ended["a"].seconds["prior"] == pytest.approx(1.0)
    assert ended["b"].seconds["prior"] == pytest.approx(2.0)


def test_a_sketch_shows_the_first_unfinished_picture_once_there_is_something_to_see(engine):
    engine.admit(order("a", n=2, prior_steps=1, steps=3))
    assert engine.sketch("a") is None
    engine.tick()
    engine.tick()
    sketch = engine.sketch("a")
    assert (sketch.stage, sketch.picture, int(sketch.pixels[0, 0, 0])) == ("decoder", 0, 1)
    assert engine.sketch("unknown") is None


def test_a_preview_that_cannot_be_made_does_not_disturb_its_job(engine, cascade, monkeypatch):
    monkeypatch.setattr(cascade, "preview", lambda row: 1 / 0)
    engine.admit(order("a"))
    assert engine.sketch("a") is None
    assert isinstance(draw(engine)["a"], Drawn)
