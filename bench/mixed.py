"""Mixed load on one engine: rows of any parameters together, against a batcher that joins identical parameters only.

The other arm is what servers of diffusion models do today: a call holds rows of one step count and one guidance scale. Both
arms are the same engine over the same stages with the same budget; only which rows may share a call differs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.ratios import Ratio, compare, percentile
from contract.spec import GenerateSpec
from models.row import Row
from workers.cascade import CascadeStages
from workers.engine import Engine, Order, Seat
from workers.pick import Budget, Waiting

STEPS, GUIDANCE, COUNTS = (8, 12, 20, 35, 50), (1.0, 1.5, 2.0, 4.0, 8.0), (1, 2, 3, 4)
FOREVER = float("inf")


class AlikeOnly(Engine[Row]):
    """An engine whose calls hold rows of one step count and one guidance scale: those of the oldest row that waits."""

    def waiting(self) -> list[Waiting[Seat[Row]]]:
        """What waits, of each stage only the rows that are like its oldest."""
        waiting = super().waiting()
        oldest = {entry.stage: entry.row for entry in reversed(waiting)}
        return [entry for entry in waiting if _alike(entry.row, oldest[entry.stage])]


def mixed_over_alike(stages: CascadeStages, budget: Budget, jobs: int, blocks: int, tell: Callable[[str], None]) -> Ratio:
    """Pictures a second of the engine over those of `AlikeOnly`, on the same `jobs` jobs, all there from the start."""
    orders = draw_orders(jobs)
    return compare(lambda: rate(Engine(stages, budget), orders), lambda: rate(AlikeOnly(stages, budget), orders), blocks, tell)


def join_delay(stages: CascadeStages, budget: Budget, newcomers: int) -> float:
    """The 99th percentile of a newcomer's wait for its first step, over the time of the dearest step that runs meanwhile.

    The newcomer arrives while a crowd is being drawn, at a moment between two calls, as a claimed job does.
    """
    engine: Engine[Row] = Engine(stages, budget)
    waits, rng = [], random.Random(0)
    crowd = iter(draw_orders(1000, seed=1))
    for number in range(newcomers):
        while sum(len(ticket.seats) for ticket in engine.tickets.values()) < budget.rows:
            engine.admit(next(crowd))
        for _ in range(rng.randrange(1, 12)):
            engine.tick()
        waits.append(_steps_until_first(engine, Order(f"new-{number}", spec_of(rng, n=1), FOREVER)))
        engine.outcomes()
    return percentile(waits, 99)


def _steps_until_first(engine: Engine[Row], order: Order) -> float:
    """Seconds until the order's row has made its first step, over the longest single step within them."""
    engine.admit(order)
    [seat] = engine.tickets[order.job_id].seats
    began, longest = time.perf_counter(), 0.0
    while seat.row.step == 0 and seat.row.stage == seat.row.route[0]:
        step_began = time.perf_counter()
        engine.tick()
        longest = max(longest, time.perf_counter() - step_began)
    return (time.perf_counter() - began) / longest


def rate(engine: Engine[Row], orders: list[Order]) -> float:
    """Pictures a second until all are drawn. Raises RuntimeError when one fails."""
    began, pictures = time.perf_counter(), sum(order.spec.n for order in orders)
    for order in orders:
        engine.admit(order)
    while engine.tick():
        pass
    failed = [outcome for outcome in engine.outcomes() if not hasattr(outcome, "products")]
    if failed:
        raise RuntimeError(f"a job of the bench failed: {failed[0]}")
    return pictures / (time.perf_counter() - began)


def draw_orders(count: int, seed: int = 0) -> list[Order]:
    """Orders of chance parameters; the same seed gives the same."""
    rng = random.Random(seed)
    return [Order(f"{seed}-{number}", spec_of(rng, n=rng.choice(COUNTS)), FOREVER) for number in range(count)]


def spec_of(rng: random.Random, n: int) -> GenerateSpec:
    """A spec of chance steps and guidance."""
    fields: dict[str, Any] = {
        "steps": rng.choice(STEPS),
        "guidance_scale": rng.choice(GUIDANCE),
        "prior_steps": rng.choice((4, 8, 12)),
    }
    return GenerateSpec(
        model="bench", prompt=rng.choice(("a red apple", "a cat on a hill", "two boats")), n=n, size="256x256",
        seed=rng.randrange(2**32), prior_guidance_scale=rng.choice((1.0, 2.0)), upsample_steps=rng.choice((2, 4)), **fields,
    )  # fmt: skip


def load(model: Path, device: str, threads: int) -> CascadeStages:
    """The cascade as the worker drives it."""
    from models.cascade import Cascade

    return CascadeStages(Cascade.load(model, device=device, threads=threads))


def _alike(seat: Seat[Row], head: Seat[Row]) -> bool:
    one, other = seat.row.request, head.row.request
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("steps", "guidance_scale", "prior_steps", "prior_guidance_scale", "upsample_steps")
    )
