"""The engine: rows of many jobs, advanced one stage's step at a time by pick → run → settle.

It knows neither queue nor store. Jobs come in as orders and leave as `Drawn` or `Failed`; a canceled job leaves
without a word. One thread owns an engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import structlog

from contract.record import JobFault, Progress
from contract.spec import AnySpec
from workers.calls import Calls
from workers.pick import Batch, Budget, Waiting, pick
from workers.shares import Shares
from workers.tally import Tally

DONE = "done"
WAITING = "waiting"
"""Stage of a row that another row of its job must go ahead of."""
TEXT = "text"
"""Name of the time that the text tower takes, among the stages' names in `Drawn.seconds`."""
Picture = npt.NDArray[np.uint8]


class Row(Protocol):
    """One picture travelling through the stages: at `step` of `steps` in `stage`, or at stage "done"."""

    @property
    def stage(self) -> str: ...  # noqa: D102
    @property
    def step(self) -> int: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def truncated_tokens(self) -> int: ...  # noqa: D102
    @property
    def failure(self) -> str | None: ...  # noqa: D102


AnyRow = TypeVar("AnyRow", bound=Row)
Row_contra = TypeVar("Row_contra", bound=Row, contravariant=True)


class Stage(Protocol[Row_contra]):
    """One net of the cascade."""

    @property
    def cost(self) -> float:
        """Relative cost of one row's step."""
        ...

    def run(self, rows: Sequence[Row_contra], /) -> None:
        """Advance each row by one step in one network call; a row that went bad says so in `failure`."""
        ...


class Stages(Protocol[AnyRow]):
    """What the engine drives: the cascade, or anything of its shape."""

    @property
    def stages(self) -> Mapping[str, Stage[AnyRow]]:
        """The stages by name, in order of travel."""
        ...

    def steps(self, spec: AnySpec, /) -> Mapping[str, int]:
        """The stages that a spec's rows travel, in order, and how many steps they take in each."""
        ...

    def admit(self, order: Order, index: int, /) -> AnyRow:
        """Return picture `index` of a job as a row at step 0 of its first stage."""
        ...

    def product(self, row: AnyRow, /) -> Product:
        """Return what a done row gave."""
        ...

    def relieve(self) -> None:
        """Give back whatever memory can be spared, after a call that found none."""
        ...

    def preview(self, row: AnyRow, /) -> Picture | None:
        """Return what a row on its way is expected to become, small; None where nothing can be seen yet."""
        ...


class CannotDraw(Exception):
    """A spec that cannot be drawn: it needs a part which the loaded model was packed without, or its sources do not fit.

    Message and code are for the caller.
    """

    def __init__(self, message: str, code: str = "part_missing") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Order:
    """A job as the engine draws it. `deadline`: on the engine's clock. `inputs`: the spec's sources and masks, by id."""

    job_id: str
    spec: AnySpec
    deadline: float
    inputs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """What one row gave: its pixels, and what is told and kept beside them (see `contract.record.ImageRecord`).

    `latent`: the bipartite latent as a file. `attachments`: further pictures by what they are, as `mask`. `seed`: with which it
    was drawn, where the spec does not say it.
    """

    pixels: Picture
    latent: bytes | None = None
    candidate_scores: tuple[float, ...] = ()
    at: float | None = None
    attachments: Mapping[str, Picture] = field(default_factory=dict)
    source_prompt: str | None = None
    seed: int | None = None


@dataclass(frozen=True, eq=False)
class Sketch:
    """What picture number `picture` of a job looks like so far, from a row that stands in `stage`."""

    pixels: Picture
    stage: str
    picture: int


@dataclass(frozen=True)
class Drawn:
    """A job whose pictures are all there, in order of their index. `seconds`: compute per stage, over all its rows."""

    order: Order
    products: Sequence[Product]
    seconds: Mapping[str, float]
    truncated_tokens: int

    @property
    def pictures(self) -> Sequence[Picture]:
        """The pixels alone."""
        return [product.pixels for product in self.products]


@dataclass(frozen=True)
class Failed:
    """A job that cannot be drawn."""

    order: Order
    fault: JobFault


@dataclass
class Ticket(Generic[AnyRow]):
    """A job in the engine."""

    order: Order
    seats: list[Seat[AnyRow]] = field(default_factory=list)
    weights: Mapping[str, float] = field(default_factory=dict)
    """What all steps of one row cost, by stage in order of travel."""
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class Seat(Generic[AnyRow]):
    """A row of a ticket; it gives way to its product once that is there. `since`: when it was last served, or came."""

    ticket: Ticket[AnyRow]
    row: AnyRow
    since: float
    is_new: bool = True
    product: Product | None = None

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.ticket.order.job_id


class Engine(Generic[AnyRow]):
    """Draws orders over a set of stages."""

    def __init__(
        self,
        cascade: Stages[AnyRow],
        budget: Budget,
        clock: Callable[[], float] = time.monotonic,
        costs: Mapping[str, float] | None = None,
    ) -> None:
        """costs: of one row's step by stage, in the budget's unit; else the stages' own."""
        self.cascade = cascade
        self.costs = costs or stage_costs(cascade)
        self.tally = Tally()
        self.budget = budget
        self.clock = clock
        self.tickets: dict[str, Ticket[AnyRow]] = {}
        self._outcomes: list[Drawn | Failed] = []
        # Once for being let ahead of the others at all, once for a picture's worth of it.
        self.shares = Shares(head_start_cost=2 * budget.slack_cost)
        self._calls = Calls(cascade.relieve, self._shrink, self._halved)
        self._log = structlog.get_logger(__name__)

    def admit(self, order: Order) -> None:
        """Take on a job: its rows join at the next step. A job that cannot even begin fails by itself. Raises EngineBroken."""
        started = self.clock()
        try:
            ticket = Ticket[AnyRow](order)
            ticket.seats = [Seat(ticket, self.cascade.admit(order, index), started) for index in range(order.spec.pictures)]
            ticket.weights = self._weights(order.spec)
        except CannotDraw as error:
            # Asked of another model, by an API that serves another: the device is sound, so it does not count as raised.
            self._outcomes.append(Failed(order, JobFault(code=error.code, message=str(error))))
            return
        except Exception as error:
            self._log.exception("a job could not begin", job_id=order.job_id)
            self._calls.count_raised(order.job_id, error)
            self._outcomes.append(Failed(order, JobFault(code="engine_failure", message="the prompt could not be read in")))
            return
        ticket.seconds[TEXT] = self.clock() - started
        self.tally.called(TEXT, len(ticket.seats), ticket.seconds[TEXT])
        self._take_out(order.job_id)  # it came back to us after an outage; its new rows count
        self.tickets[order.job_id] = ticket
        self.shares.enter(order.spec.lane, order.spec.key)
        for seat in ticket.seats:
            if seat.row.stage == DONE:
                self._retire(seat)

    def drop(self, job_id: str) -> None:
        """Forget a job; unknown ones are no error."""
        self._take_out(job_id)

    def tick(self) -> bool:
        """Advance one stage by one step. Returns False when there was nothing to do. Raises EngineBroken."""
        self._expire()
        batch = pick(self.waiting(), self.budget, self.shares.served(), now=self.clock())
        if batch is None:
            return False
        self._settle(batch, self._run(batch))
        return True

    def outcomes(self) -> list[Drawn | Failed]:
        """Return what has ended since the last call, in order."""
        ended, self._outcomes = self._outcomes, []
        return ended

    def waiting(self) -> list[Waiting[Seat[AnyRow]]]:
        """Return what waits, oldest first."""
        return [
            self._waiting(ticket, seat)
            for ticket in self.tickets.values()
            for seat in ticket.seats
            if seat.product is None and seat.row.stage != WAITING
        ]

    def progress(self, job_id: str) -> Progress | None:
        """Return how far a job is: the stage and step of its first unfinished row, and the share of all its cost."""
        ticket = self.tickets.get(job_id)
        if ticket is None:
            return None
        shares = [row_share(seat.row, ticket.weights) if seat.product is None else 1.0 for seat in ticket.seats]
        row = next((seat.row for seat in ticket.seats if seat.product is None), ticket.seats[-1].row)
        return Progress(stage=row.stage, step=row.step, steps=row.steps, fraction=min(1.0, sum(shares) / len(shares)))

    def sketch(self, job_id: str) -> Sketch | None:
        """Return what the first unfinished picture of a job looks like so far; None where nothing can be seen yet."""
        ticket = self.tickets.get(job_id)
        index = next((i for i, seat in enumerate(ticket.seats) if seat.product is None), None) if ticket else None
        if ticket is None or index is None:
            return None
        row = ticket.seats[index].row
        try:
            pixels = self.cascade.preview(row)
        except Exception:
            self._log.exception("a row gave no preview", job_id=job_id)  # the picture itself may still come out well
            return None
        return None if pixels is None else Sketch(pixels, row.stage, index)

    def _halved(self) -> None:
        self.tally.halved()

    def _shrink(self, stage: str, rows: int) -> None:
        """Make a stage's calls smaller from now on, after larger ones did not fit in memory."""
        ceiling = min(rows, self.budget.ceilings.get(stage, rows))
        self._log.warning("calls get smaller; `unclip calibrate` finds what fits", stage=stage, rows=ceiling)
        self.budget = replace(self.budget, ceilings={**self.budget.ceilings, stage: ceiling})

    def _weights(self, spec: AnySpec) -> Mapping[str, float]:
        return {name: self.costs[name] * steps for name, steps in self.cascade.steps(spec).items()}

    def _waiting(self, ticket: Ticket[AnyRow], seat: Seat[AnyRow]) -> Waiting[Seat[AnyRow]]:
        weights, spec = ticket.weights, ticket.order.spec
        left = sum(weights.values()) * (1 - row_share(seat.row, weights))
        stage = seat.row.stage
        return Waiting(seat, stage, self.costs[stage], left, seat.since, spec.lane, spec.key, seat.is_new)

    def _run(self, batch: Batch[Seat[AnyRow]]) -> dict[Seat[AnyRow], JobFault]:
        """One network call over the batch's rows; returns the seats that went bad. Time is shared evenly among the rows."""
        started = self.clock()
        faults = self._calls.advance(batch.stage, self.cascade.stages[batch.stage].run, batch.rows)
        ended = self.clock()
        self.tally.called(batch.stage, len(batch.rows), ended - started)
        for seat in batch.rows:
            seat.since, seat.is_new = ended, False
            spec, seconds = seat.ticket.order.spec, seat.ticket.seconds
            self.shares.charge(spec.lane, spec.key, self.costs[batch.stage])
            seconds[batch.stage] = seconds.get(batch.stage, 0.0) + (ended - started) / len(batch.rows)
        return faults

    def _settle(self, batch: Batch[Seat[AnyRow]], faults: Mapping[Seat[AnyRow], JobFault]) -> None:
        """Retire what finished, fail the jobs of what went bad; their neighbours go on."""
        for seat, fault in faults.items():
            self._fail(seat.ticket, fault)
        for seat in batch.rows:
            if seat.row.stage == DONE and seat.ticket.order.job_id in self.tickets:
                self._retire(seat)

    def _retire(self, seat: Seat[AnyRow]) -> None:
        ticket = seat.ticket
        try:
            seat.product = self.cascade.product(seat.row)
        except Exception:
            self._log.exception("a finished row gave no picture", job_id=ticket.order.job_id)
            self._fail(ticket, JobFault(code="engine_failure", message="the finished picture could not be read out"))
            return
        products = [each.product for each in ticket.seats if each.product is not None]
        if len(products) == len(ticket.seats):
            self._take_out(ticket.order.job_id)
            truncated = max(each.row.truncated_tokens for each in ticket.seats)
            self._outcomes.append(Drawn(ticket.order, products, ticket.seconds, truncated))

    def _fail(self, ticket: Ticket[AnyRow], fault: JobFault) -> None:
        if self._take_out(ticket.order.job_id):
            self._outcomes.append(Failed(ticket.order, fault))

    def _take_out(self, job_id: str) -> bool:
        """Take a job off the books. Returns whether it was on them."""
        ticket = self.tickets.pop(job_id, None)
        if ticket is not None:
            self.shares.leave(ticket.order.spec.lane, ticket.order.spec.key)
        return ticket is not None

    def _expire(self) -> None:
        now = self.clock()
        for ticket in [ticket for ticket in self.tickets.values() if now >= ticket.order.deadline]:
            self._fail(ticket, JobFault(code="job_timeout", message="the job took longer than this service allows"))


def stage_costs(cascade: Stages[AnyRow]) -> dict[str, float]:
    """Return each stage's own word on what one row's step costs there."""
    return {name: stage.cost for name, stage in cascade.stages.items()}


def row_share(row: Row, weights: Mapping[str, float]) -> float:
    """Return which share of its way a row has gone, 0 to 1, each stage weighing what it costs."""
    gone = 0.0
    if row.stage == WAITING:
        return gone
    for name, weight in weights.items():
        if name == row.stage:
            gone += weight * row.step / max(1, row.steps)
            break
        gone += weight
    return gone / (sum(weights.values()) or 1.0)
