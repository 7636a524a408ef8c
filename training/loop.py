"""The training loop that every stage shares: a wall-clock budget, EMA, logs, and state that a stopped run resumes from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.config import StageConfig

WARM_UP_STEPS = 100
SAVE_EVERY_SECONDS = 120.0
LOG_EVERY_STEPS = 20


class Task(Protocol):
    """What a stage trains: its net, one batch's loss, and a picture of how far it is."""

    name: str

    @property
    def net(self) -> nn.Module:
        """All that learns."""
        ...

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        """The loss of one fresh batch; all its chance comes from `generator`."""
        ...

    def grid(self, net: nn.Module) -> Tensor | None:
        """Samples of `net` (the EMA weights) as (3, H, W) in [-1, 1], or None where there is nothing to see."""
        ...


@dataclass
class Progress:
    """Where a stage stands; saved with its state."""

    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)


Report = Callable[[str, Progress, float, float], None]
"""Called with the stage's name, its progress, the fraction done and the smoothed loss."""


class Loop:
    """Trains one task within its budget. `run` starts where the state below `out` left off."""

    def __init__(self, task: Task, config: StageConfig, out: Path, *, seed: int, bf16: bool, report: Report) -> None:
        self.task, self.config, self.out, self.seed, self.bf16, self.report = task, config, out, seed, bf16, report
        self.device = next(task.net.parameters()).device
        self.parameters = {name: p for name, p in task.net.named_parameters() if p.requires_grad}
        self.ema = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.fixed = {
            name: p.detach() for name, p in task.net.named_parameters() if not p.requires_grad
        }  # the prior's clip_mean
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-2
        )
        self.progress = Progress()

    def run(self) -> nn.Module:
        """Train until the budget is spent; returns the task's net with the EMA weights in it."""
        from torch.utils.tensorboard import SummaryWriter

        self.out.mkdir(parents=True, exist_ok=True)
        self._resume()
        saved = time.monotonic()
        smoothed = self.progress.losses[-1][1] if self.progress.losses else math.nan
        with SummaryWriter(str(self.out / "tensorboard")) as writer:
            try:
                while (done := self._done()) < 1:
                    started = time.monotonic()
                    loss = self._step(done)
                    smoothed = loss if math.isnan(smoothed) else 0.98 * smoothed + 0.02 * loss
                    self.progress.step += 1
                    self.progress.seconds += time.monotonic() - started
                    if self.progress.step % LOG_EVERY_STEPS == 0:
                        self.progress.losses.append((self.progress.step, smoothed))
                        writer.add_scalar("loss", smoothed, self.progress.step)
                    self.report(self.task.name, self.progress, self._done(), smoothed)
                    if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                        self._save()
                        saved = time.monotonic()
            finally:
                self._save()  # an interrupted run goes on from here
            net = self._with_ema()
            if (grid := self.task.grid(net)) is not None:
                writer.add_image("samples", (grid.clamp(-1, 1) + 1) / 2, self.progress.step)
        plot_losses(self.progress.losses, self.task.name, self.out / "loss.png")
        if grid is not None:
            save_png(grid, self.out / "samples.png")
        return net

    def _step(self, done: float) -> float:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.progress.step)  # resumes with the same data
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self._rate(done)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.task.loss(self.config.batch, generator)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{self.task.name}: the loss is {value} at step {self.progress.step}; lower the learning rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        decay = min(0.999, (1 + self.progress.step) / (10 + self.progress.step))
        torch._foreach_lerp_(list(self.ema.values()), [p.detach() for p in self.parameters.values()], 1 - decay)
        return value

    def _rate(self, done: float) -> float:
        """Linear warm-up, then half a cosine down to 2 % of the peak."""
        warm = min(1.0, (self.progress.step + 1) / WARM_UP_STEPS)
        return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def _done(self) -> float:
        by_time = self.progress.seconds / (self.config.minutes * 60)
        by_steps = self.progress.step / self.config.max_steps if self.config.max_steps else 0.0
        return min(1.0, max(by_time, by_steps))

    def _with_ema(self) -> nn.Module:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self.ema[name])
        return self.task.net.eval()

    def _save(self) -> None:
        tensors = {f"net.{name}": p.detach() for name, p in self.parameters.items()} | {
            f"ema.{name}": p for name, p in (self.ema | self.fixed).items()
        }
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        about = json.dumps({"step": self.progress.step, "seconds": self.progress.seconds, "losses": self.progress.losses})
        temporary = self.out / ".state.safetensors.tmp"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata={"progress": about})
        temporary.replace(self.out / "state.safetensors")

    def _resume(self) -> None:
        from safetensors import safe_open

        path = self.out / "state.safetensors"
        if not path.exists():
            return
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["progress"])
        tensors = load_file(path, device=str(self.device))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"net.{name}"])
                self.ema[name].copy_(tensors[f"ema.{name}"])
                moments = {key: tensors.get(f"adam.{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
                if moments["step"] is not None:
                    self.optimizer.state[parameter] = {**moments, "step": moments["step"].cpu()}
        self.progress = Progress(about["step"], about["seconds"], [(step, loss) for step, loss in about["losses"]])


def plot_losses(losses: list[tuple[int, float]], title: str, path: Path) -> None:
    """A PNG of the smoothed loss over steps, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="tight")
    axes = figure.add_subplot(xscale="log", yscale="log", xlabel="step", ylabel="loss", title=title)
    axes.plot(*zip(*losses, strict=True) if losses else ((), ()))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def save_png(picture: Tensor, path: Path) -> None:
    """Write a (3, H, W) picture in [-1, 1]."""
    from PIL import Image

    pixels = ((picture.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    Image.fromarray(pixels).save(path)
