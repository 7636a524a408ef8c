"""Network calls in which one bad row fails alone: halve and retry; where it was memory, alone and with all there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from contract.record import JobFault

MAX_RAISED = 3
"""Jobs that may raise with no call succeeding in between; then it is the process that is broken, not they."""


class EngineBroken(Exception):
    """Job after job raises. A CUDA context that met a fault stays broken until its process ends."""


class Passenger(Protocol):
    """A row with the job that it belongs to. `row`: as in `workers.engine.Row`."""

    @property
    def job_id(self) -> str: ...  # noqa: D102
    @property
    def row(self) -> Any: ...  # noqa: D102


AnyPassenger = TypeVar("AnyPassenger", bound=Passenger)
Run = Callable[[Sequence[Any]], None]


class Calls:
    """Makes calls and sorts out what goes wrong in them.

    `relieve`: gives back what memory it can. `shrink`: told a stage and how many rows its calls had better not exceed.
    `halved`: told of every call that is tried again in halves.
    """

    def __init__(self, relieve: Callable[[], None], shrink: Callable[[str, int], None], halved: Callable[[], None]) -> None:
        self._relieve, self._shrink, self._halved = relieve, shrink, halved
        self._raised: set[str] = set()
        self._log = structlog.get_logger(__name__)

    def advance(self, stage: str, run: Run, seats: Sequence[AnyPassenger]) -> dict[AnyPassenger, JobFault]:
        """Run one stage over rows; returns those that went bad. Raises EngineBroken.

        Rows that moved on before an exception are left alone: their next stage is not this one.
        """
        here = [seat for seat in seats if seat.row.stage == stage and seat.row.failure is None]
        bad = {seat: numerical(seat.row.failure) for seat in seats if seat.row.failure is not None}
        if not here:
            return bad
        error = self._tried(stage, run, here)
        # Whatever the failed call held in its frames is free only now, outside of the handler.
        if error is not None and len(here) == 1 and is_out_of_memory(error):
            self._relieve()
            error = self._tried(stage, run, here)
        if error is None:
            self._raised.clear()
            return bad | {seat: numerical(seat.row.failure) for seat in here if seat.row.failure is not None}
        if len(here) == 1:
            self.count_raised(here[0].job_id, error)
            return bad | {here[0]: raised(stage, error)}
        half = len(here) // 2
        if is_out_of_memory(error):
            self._relieve()
            self._shrink(stage, half)
        self._halved()
        return bad | self.advance(stage, run, here[:half]) | self.advance(stage, run, here[half:])

    def count_raised(self, job_id: str, error: Exception) -> None:
        """Note a job that raised by itself. Raises EngineBroken when too many have, one after another."""
        self._raised.add(job_id)
        if len(self._raised) >= MAX_RAISED:
            raise EngineBroken(f"{MAX_RAISED} jobs raised one after another, the last: {error!r}") from error

    def _tried(self, stage: str, run: Run, here: Sequence[Passenger]) -> Exception | None:
        """Make a call; returns what it raised, without the frames that hold its tensors."""
        try:
            run([seat.row for seat in here])
        except Exception as error:
            self._log.exception("a call failed", stage=stage, rows=len(here), job_ids=sorted({seat.job_id for seat in here}))
            return error.with_traceback(None)
        return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory ran out: torch's own type on CUDA, a plain RuntimeError on a CPU.

    Told by name and words, so that nothing here loads torch.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def numerical(failure: str) -> JobFault:
    """Return the fault of a row that its stage found bad."""
    return JobFault(code="numerical_failure", message=f"the picture could not be drawn: {failure}")


def raised(stage: str, error: Exception) -> JobFault:
    """Return the fault of a row whose calls raise even when it is alone."""
    if is_out_of_memory(error):
        return JobFault(code="out_of_memory", message=f"the picture could not be drawn: no memory left for stage {stage}")
    return JobFault(code="engine_failure", message=f"the picture could not be drawn: stage {stage} failed")
