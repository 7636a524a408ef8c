"""Pictures drawn by several processes: composing scenes is Python's work, and one GPU learns faster than one core draws."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.errors import DataError
from training.live import Pictures


@dataclass(frozen=True)
class Chunk:
    """So many pictures to be drawn from one seed."""

    seed: int
    size: int


@dataclass(frozen=True)
class Drawn:
    """A chunk's pictures as they are kept. pixels: (n, 3, S, S) uint8. owners: (n, S, S) uint8."""

    pixels: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    captions: list[str]


def draw(pictures: Pictures, chunk: Chunk) -> Drawn:
    """One chunk; the same chunk is the same pictures, whichever process draws it."""
    pixels, captions, owners = pictures.draw(chunk.size, torch.Generator().manual_seed(chunk.seed))
    return Drawn(((pixels + 1) * 127.5).round().byte().cpu().numpy(), owners.cpu().numpy(), captions)


def draw_all(pictures: Pictures, chunks: Sequence[Chunk], processes: int) -> Generator[Drawn]:
    """The chunks in their order, drawn ahead by so many processes, or here for none. Close it when it is left early.

    pictures: on the CPU. Raises DataError with the reason when one of them cannot draw, or ends.
    """
    if not processes:
        yield from (draw(pictures, chunk) for chunk in chunks)
        return
    painters: list[tuple[BaseProcess, Connection]] = []
    try:
        for at in range(min(processes, len(chunks))):
            painters.append(_painter(pictures, chunks[at::processes], [told for _, told in painters]))
        for number in range(len(chunks)):
            yield _told(*painters[number % len(painters)])
    finally:
        for process, told in painters:
            told.close()
            process.terminate()
            process.join()


def _told(process: BaseProcess, told: Connection) -> Drawn:
    try:
        drawn: Drawn | str = told.recv()
    except (EOFError, OSError):  # it was killed before a message, or in the middle of one
        process.join()
        raise DataError(f"a process that draws pictures ended with code {process.exitcode}; was memory short?") from None
    if isinstance(drawn, str):
        raise DataError(f"a process that draws pictures failed: {drawn}")
    return drawn


def _painter(pictures: Pictures, chunks: Sequence[Chunk], others: Sequence[Connection]) -> tuple[BaseProcess, Connection]:
    """A process that draws those chunks one after the other, and where they arrive; the pipe holds back one that is ahead.

    others: where earlier painters' chunks arrive.
    """
    context = multiprocessing.get_context("fork")  # the sprites are shared as they lie in memory, and never copied
    told, telling = context.Pipe(duplex=False)
    process = context.Process(target=_paint, args=(pictures, chunks, telling, [told, *others]), daemon=True)
    with warnings.catch_warnings():  # Python 3.12 warns of forks beside threads; the child starts none and touches no GPU
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    telling.close()  # here, so that the child's end is the last: when it goes, `recv` says so
    return process, told


def _paint(pictures: Pictures, chunks: Sequence[Chunk], telling: Connection, inherited: Sequence[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for its parent, which ends it
    for told in inherited:
        told.close()  # the parent's is the last: when it is gone, `send` says so
    torch.set_num_threads(1)  # OpenMP's other threads did not come along
    try:
        for chunk in chunks:
            telling.send(draw(pictures, chunk))
    except BrokenPipeError:
        return
    except Exception as error:
        telling.send(repr(error))
