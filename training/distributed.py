"""Several processes as one training run: the place of each, and the little that they must agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

PATIENCE = timedelta(hours=2)  # the others wait while the first one alone makes the bank


@dataclass(frozen=True)
class Ranks:
    """This process's place, `rank`, among the `count` of the run. The first one alone writes files and reports.

    here: how many of them share this machine.
    """

    rank: int = 0
    count: int = 1
    here: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def from_first(self, value: float, device: torch.device) -> float:
        """The first process's value, in all of them: a clock that all of them follow."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=device)
        distributed.broadcast(shared, src=0)
        return float(shared)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in all of them; nothing learns from it."""
        total = value.detach().clone()
        if self.count > 1:
            distributed.all_reduce(total)
        return total

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes, in all of them; nothing learns from it."""
        return self.sum(value) / self.count

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Ranks()


@contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, str]]:
    """Join the processes that `torchrun` started, for as long as the block lasts; without torchrun, be alone.

    device: "cpu" or "cuda". Yields this process's place and its own device: processes of one machine take one GPU each. They
    talk through NCCL on GPUs and gloo on the CPU.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, device
        return
    own = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
    if device == "cuda":
        torch.cuda.set_device(own)
        distributed.init_process_group("nccl", timeout=PATIENCE, device_id=torch.device(own))
    else:
        distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), count, int(os.environ.get("LOCAL_WORLD_SIZE", count))), own
    finally:
        distributed.destroy_process_group()
