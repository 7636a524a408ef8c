"""A job's progress on the terminal: one bar per stage, counted in steps."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from unclip.client import Job


class JobProgress:
    """A bar for each stage that lies ahead. On something that is not a terminal they are printed once, at the end.

    stages: steps of each stage, in order of travel; None where only the job knows.
    """

    def __init__(self, console: Console, stages: Mapping[str, int | None]) -> None:
        columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._bars = {stage: self._add(stage, steps) for stage, steps in stages.items()}
        self._waiting: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, job: Job) -> None:
        """Draw the job as it now stands."""
        self._show_place(job)
        at = job.progress
        # A job whose pictures are being stored is past its last stage: it then has no steps to count.
        if at and at.steps:
            if at.stage not in self._bars:
                self._bars[at.stage] = self._add(at.stage, at.steps)
            self._fill_until(at.stage)
            self._move(at.stage, at.step, at.steps)
        elif at or job.status == "succeeded":
            self._fill_until(None)

    def _add(self, stage: str, steps: int | None) -> TaskID:
        return self._progress.add_task(stage, total=steps, start=False)

    def _show_place(self, job: Job) -> None:
        """Keep a line of its own for a job that waits for its turn."""
        if job.status != "queued":
            if self._waiting is not None:
                self._progress.remove_task(self._waiting)
                self._waiting = None
            return
        words = "waiting" if job.queue_position is None else f"waiting, {job.queue_position}."
        if self._waiting is None:
            self._waiting = self._progress.add_task(words, total=None)
        self._progress.update(self._waiting, description=words)

    def _fill_until(self, stage: str | None) -> None:
        """Complete the stages before this one: their last steps, or all of a quick one, fall between two looks at the job."""
        for name in self._bars:
            if name == stage:
                return
            self._move(name)

    def _move(self, stage: str, step: int | None = None, steps: int | None = None) -> None:
        """Put a stage's bar at `step` of `steps`, or at its end."""
        bar = next(task for task in self._progress.tasks if task.id == self._bars[stage])
        if not bar.started:
            self._progress.start_task(bar.id)
        self._progress.update(bar.id, completed=bar.total if step is None else step, total=steps)
