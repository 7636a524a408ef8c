"""A tiny task for the loop's tests; as a program, one of the processes that learn it together: `plain_ranks.py OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.config import StageConfig
from training.distributed import joined
from training.loop import How, Loop, Progress

CONFIG = StageConfig(minutes=5, batch=8, learning_rate=0.05, max_steps=6)
SEED = 3


class LineTask:
    """Learns the sum of four numbers."""

    name = "line"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = nn.Linear(4, 1)

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        x = torch.randn(batch, 4, generator=generator)
        return nn.functional.mse_loss(self.net(x), x.sum(1, keepdim=True))

    def grid(self, net: nn.Module) -> Tensor | None:
        return None


def main(out: Path) -> None:
    """Learn as one of several; each leaves its weights, the first one alone the rest."""
    torch.set_num_threads(1)
    seen: list[Progress] = []
    with joined("cpu") as (ranks, _):
        how = How(SEED, ranks=ranks)
        net = Loop(LineTask(), CONFIG, out, how, lambda name, progress, done, loss: seen.append(progress)).run()
        save_file(net.state_dict(), out / f"rank{ranks.rank}.safetensors", {"reports": str(len(seen))})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
