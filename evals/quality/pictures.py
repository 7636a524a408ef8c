"""Pictures drawn once and kept: a file each, named by all that decides its pixels, so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evals.draw import DrawSettings
from evals.quality.conditioning import Conditioning, admit
from models.cascade import Cascade, to_pixels
from models.checkpoint import MANIFEST
from models.errors import ModelError
from models.row import DONE, DrawRequest, Row

SMALL_PX = 64
"""The decoder's own size, at which the judges look: a picture of it is done without the upsamplers."""
CPU_ROWS, CUDA_ROWS = 4, 64
"""Rows that travel together, on a CPU in one call too: two thirds of the time, and a pixel differs from a single row's by one
at most."""
LOOK_AGAIN_SECONDS = 1.0
Show = Callable[[str, float, float], None]
"""Called as show(doing, done, total)."""


@dataclass(frozen=True)
class Job:
    """One picture to be drawn. settings: pairs of `DrawSettings`."""

    prompt: str
    seed: int
    settings: tuple[tuple[str, int | float | str], ...]
    conditioning: Conditioning = "prior"
    size_px: int = SMALL_PX

    @classmethod
    def of(
        cls, prompt: str, seed: int, settings: DrawSettings, conditioning: Conditioning = "prior", size_px: int = SMALL_PX
    ) -> Job:
        """From settings as the model's folder gives them."""
        pairs = tuple(sorted((name, value) for name, value in settings.items() if isinstance(value, int | float | str)))
        return cls(prompt, seed, pairs, conditioning, size_px)


class Pictures:
    """The pictures of one model.

    folder: where they are kept; pictures of a CPU and of a GPU, which differ in their last bits, want folders of their own.
    processes: how many draw at once on a CPU, each on one thread, since the pixels' last bits depend on the threads.
    """

    def __init__(
        self, model_dir: Path, folder: Path, *, device: str = "cpu", processes: int = 1, show: Show | None = None
    ) -> None:
        """Raises ModelError where the folder has no manifest."""
        self.model_dir, self.folder, self.device, self.processes, self.show = model_dir, folder, device, processes, show
        try:
            self.manifest = hashlib.sha256((model_dir / MANIFEST).read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"{model_dir / MANIFEST} cannot be read: {error.strerror}") from error

    def draw(self, jobs: Sequence[Job], doing: str) -> list[NDArray[np.uint8]]:
        """(S, S, 3) for each job; only those that are not kept yet are drawn. Raises ModelError."""
        missing = [job for job in dict.fromkeys(jobs) if not self.place(job).is_file()]
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._draw_missing(missing, doing, len(jobs))
        return [_read(self.place(job)) for job in jobs]

    def place(self, job: Job) -> Path:
        """Where that picture is, or will be."""
        told = json.dumps([self.manifest, asdict(job)], sort_keys=True)
        return self.folder / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.png"

    @cached_property
    def cascade(self) -> Cascade:
        """The model, loaded once for all lists. On a GPU the CPU keeps all its threads, on which the judges look."""
        return Cascade.load(self.model_dir, device=self.device) if self.is_on_gpu else on_cpu(self.model_dir)

    @property
    def is_on_gpu(self) -> bool:
        """Whether pictures are drawn on a GPU."""
        return torch.device(self.device).type != "cpu"

    @property
    def together(self) -> int:
        """Rows that travel together."""
        return CUDA_ROWS if self.is_on_gpu else CPU_ROWS

    def _draw_missing(self, jobs: Sequence[Job], doing: str, total: int) -> None:
        todo = [(job, self.place(job)) for job in jobs]
        count = min(self.processes, len(todo))
        if count > 1 and not self.is_on_gpu:
            drawn = paint_apart(self.model_dir, todo, count)
        else:
            drawn = paint(self.cascade, todo, self.together)
        for number, _ in enumerate(drawn, start=total - len(jobs) + 1):
            if self.show is not None:
                self.show(doing, number, total)


def on_cpu(model_dir: Path) -> Cascade:
    """A model that draws `CPU_ROWS` rows in a call, on one thread. Raises ModelError."""
    cascade = Cascade.load(model_dir, threads=1)
    for stage in cascade.stages.values():
        stage.bucket = CPU_ROWS
    return cascade


def paint(cascade: Cascade, todo: Sequence[tuple[Job, Path]], together: int) -> Iterator[None]:
    """Draw and keep each picture, `together` rows in a call; yields after each. Raises ModelError."""
    for start in range(0, len(todo), together):
        part = todo[start : start + together]
        company = [part[min(at, len(part) - 1)][0] for at in range(together)]  # always as many: the last bits depend on it
        for picture, (_, place) in zip(travel(cascade, company), part, strict=False):
            temporary = place.with_suffix(f".{os.getpid()}.tmp")
            Image.fromarray(picture).save(temporary, format="PNG")
            temporary.replace(place)
            yield


def travel(cascade: Cascade, jobs: Sequence[Job]) -> list[NDArray[np.uint8]]:
    """The pictures of some jobs, whose rows travel together. Raises ModelError where one fails."""
    rows = [stand(cascade, job) for job in jobs]
    go(cascade, rows)
    return [finished(cascade, row, job) for row, job in zip(rows, jobs, strict=True)]


def go(cascade: Cascade, rows: Sequence[Row]) -> None:
    """Take rows to the end of their ways. Raises ModelError where one fails."""
    while waiting := [row for row in rows if row.stage != DONE]:
        stage = waiting[0].stage
        cascade.stages[stage].run([row for row in waiting if row.stage == stage])
        for row in rows:
            if row.failure is not None:
                raise ModelError(f"{row.request.prompt!r} with seed {row.request.seed} failed: {row.failure}")


def stand(cascade: Cascade, job: Job) -> Row:
    """The job's row before its first step; a small picture's way ends at the decoder."""
    settings = dict(job.settings) | {"size_px": max(job.size_px, 256)}
    row = admit(cascade, DrawRequest(prompt=job.prompt, seed=job.seed, **settings), job.conditioning)  # type: ignore[arg-type]
    if job.size_px == SMALL_PX:
        row.route = tuple(stage for stage in row.route if not stage.startswith("upsample"))
    return row


def finished(cascade: Cascade, row: Row, job: Job) -> NDArray[np.uint8]:
    """The picture of a row that is done."""
    if job.size_px == SMALL_PX and row.small is not None:
        return to_pixels(row.small[0])
    return cascade.picture(row)


def paint_apart(model_dir: Path, todo: Sequence[tuple[Job, Path]], processes: int) -> Iterator[None]:
    """`paint` in several processes of one thread each, every one with its own copy of the model. Raises ModelError."""
    context = multiprocessing.get_context("forkserver")  # torch's threads do not survive a fork of this process
    context.set_forkserver_preload([__name__])
    told: Queue[str | None] = context.Queue()
    painters = [context.Process(target=_paint_and_tell, args=(model_dir, todo[at::processes], told)) for at in range(processes)]
    for painter in painters:
        painter.start()
    try:
        for _ in todo:
            if (fault := _next_told(told, painters)) is not None:
                raise ModelError(fault)
            yield
    finally:
        for painter in painters:  # all is told, or the rest is not wanted any more
            painter.terminate()
            painter.join()


def _paint_and_tell(model_dir: Path, todo: Sequence[tuple[Job, Path]], told: Queue[str | None]) -> None:
    """What a painter does: None for each picture, or what went wrong.

    An interrupt is for its parent, which ends it; a parent that was killed is missed after the next picture.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    try:
        for _ in paint(on_cpu(model_dir), todo, CPU_ROWS):
            if parent is not None and not parent.is_alive():
                return
            told.put(None)
    except ModelError as error:
        told.put(str(error))


def _next_told(told: Queue[str | None], painters: Sequence[BaseProcess]) -> str | None:
    while True:
        try:
            return told.get(timeout=LOOK_AGAIN_SECONDS)
        except Empty:
            if lost := [painter.exitcode for painter in painters if painter.exitcode]:
                raise ModelError(f"a drawing process ended with code {lost[0]}") from None


def _read(place: Path) -> NDArray[np.uint8]:
    with Image.open(place) as picture:
        return np.array(picture.convert("RGB"))
