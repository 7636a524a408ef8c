"""The training loop that every stage shares: a wall-clock budget, EMA, logs, several processes, and state to resume from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from training.config import StageConfig
from training.data.errors import DataError, LossDiverged
from training.distributed import ALONE, Ranks
from training.precision import mixed_precision

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

WARM_UP_STEPS = 100
SAVE_EVERY_SECONDS = 120.0
LOG_EVERY_STEPS = 20
STATE = "state.safetensors"
LEAST_ROWS = 4  # of a part of a batch, and what their number is a multiple of: turbo divides them by its steps


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


@dataclass(frozen=True)
class How:
    """How a stage computes, whatever it learns.

    compile: by torch.compile, where the task calls its net as a whole. threads: of one process on a CPU, each of which takes a
    part of every batch from beginning to end; what a loss draws or compares over a batch, it does over a part, and another
    number of threads is other chance.
    """

    seed: int
    bf16: bool = False
    compile: bool = False
    threads: int = 1
    ranks: Ranks = ALONE


class Lesson(nn.Module):
    """One batch's loss as a module: DistributedDataParallel averages gradients of what its own `forward` computes."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.net, self.task = task.net, task

    def forward(self, batch: int, generator: torch.Generator) -> Tensor:
        """The loss, a number."""
        return self.task.loss(batch, generator)


def own_threads(batch: int) -> int:
    """How many threads may each take a part of a batch: torch's number where all get enough rows for every task, or one."""
    count = torch.get_num_threads()
    return count if batch % (count * LEAST_ROWS) == 0 else 1


class Loop:
    """Trains one task within its budget. `run` starts where the state below `out` left off.

    Under torchrun every process learns from its own share of each batch with the same weights; the first one keeps the time,
    writes and reports.
    """

    def __init__(self, task: Task, config: StageConfig, out: Path, how: How, report: Report, look_every: int = 0) -> None:
        """look_every: steps after which the losses are looked at; 0: each step on a CPU, and seldom on a GPU, which would wait
        for its next step's orders each time. Raises DataError for a batch that the processes cannot share evenly."""
        self.task, self.config, self.out, self.how, self.report = task, config, out, how, report
        self.ranks = how.ranks
        if how.threads > 1 and (self.ranks.count > 1 or how.compile):
            raise DataError(f"{task.name}: {how.threads} threads learn in one process, and by nets that are not compiled")
        if config.batch % (self.ranks.count * how.threads):
            parts = f"{self.ranks.count} processes" if how.threads == 1 else f"{how.threads} threads"
            raise DataError(f"{task.name}: {parts} cannot share a batch of {config.batch} evenly")
        self.device = next(task.net.parameters()).device
        self.parameters = {name: p for name, p in task.net.named_parameters() if p.requires_grad}
        self.ema = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.fixed = {
            name: p.detach() for name, p in task.net.named_parameters() if not p.requires_grad
        }  # the prior's clip_mean
        self.look_every = look_every or (1 if self.device.type == "cpu" else LOG_EVERY_STEPS)
        # Fused on a CPU: a third of the time that its many small calls take, a sixteenth of the decoder's whole step.
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
        )
        self.hands: ThreadPoolExecutor | None = None
        self.progress = Progress()

    def run(self) -> nn.Module:
        """Train until the budget is spent; returns the task's net with the EMA weights in it. Raises DataError."""
        self.out.mkdir(parents=True, exist_ok=True)
        self._resume()
        if self.how.compile:
            self.task.net.compile(dynamic=False)
        lesson: nn.Module = Lesson(self.task)
        if self.ranks.count > 1:
            lesson = DistributedDataParallel(lesson)
        with self._writer() as writer:
            try:
                with self._hands() as self.hands:
                    self._learn(lesson, writer)
            finally:
                self._save()  # an interrupted run goes on from here
            net = self._with_ema()
            if writer is not None:
                self._show(net, writer)
        self.ranks.wait()  # for the state that the next stage may read
        return net

    def _learn(self, lesson: nn.Module, writer: SummaryWriter | None) -> None:
        saved = time.monotonic()
        smoothed = self.progress.losses[-1][1] if self.progress.losses else math.nan
        while (done := self._done()) < 1:
            started = time.monotonic()
            for loss in self._steps(lesson, done):
                smoothed = loss if math.isnan(smoothed) else 0.98 * smoothed + 0.02 * loss
            self.progress.seconds += time.monotonic() - started
            if writer is not None and self.progress.step % LOG_EVERY_STEPS == 0:
                self.progress.losses.append((self.progress.step, smoothed))
                writer.add_scalar("loss", smoothed, self.progress.step)
            if self.ranks.is_first:
                self.report(self.task.name, self.progress, self._share(), smoothed)
            if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                self._save()
                saved = time.monotonic()

    def _steps(self, lesson: nn.Module, done: float) -> list[float]:
        """So many steps as are looked at together, and their losses. Raises LossDiverged."""
        limit = self.config.max_steps or self.progress.step + self.look_every
        losses = []
        for _ in range(min(self.look_every, limit - self.progress.step)):
            losses.append(self._step(lesson, done))
            self.progress.step += 1
        values: list[float] = torch.stack(losses).tolist()  # a GPU has computed them when this returns
        if not all(math.isfinite(value) for value in values):
            raise LossDiverged(self.task.name, values[-1], self.progress.step)
        return values

    def _step(self, lesson: nn.Module, done: float) -> Tensor:
        # Its own number for each step and process: a resumed run of as many goes on with the same data.
        step = (self.how.seed * 1_000_003 + self.progress.step) * self.ranks.count + self.ranks.rank
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self._rate(done)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._in_parts(self.hands, lesson, step) if self.hands else self._backward(lesson, step)
        mean = self.ranks.mean(loss)  # of all processes, so that all stop
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        decay = min(self.config.ema, (1 + self.progress.step) / (10 + self.progress.step))
        torch._foreach_lerp_(list(self.ema.values()), [p.detach() for p in self.parameters.values()], 1 - decay)
        return mean

    def _backward(self, lesson: nn.Module, seed: int) -> Tensor:
        with self._compiling(), self._attention():
            with mixed_precision(self.device, bf16=self.how.bf16):
                loss: Tensor = lesson(self.config.batch // self.ranks.count, torch.Generator().manual_seed(seed))
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _in_parts(self, hands: ThreadPoolExecutor, lesson: nn.Module, seed: int) -> Tensor:
        """As `_backward`, each thread for its part of the batch. The gradients' mean is taken in the same order each time."""
        count = self.how.threads
        with self._attention():  # the whole process's
            parts = list(hands.map(partial(self._part, lesson), range(seed * count, (seed + 1) * count)))
        for parameter, *own in zip(self.parameters.values(), *(gradients for _, gradients in parts), strict=True):
            known = [gradient for gradient in own if gradient is not None]
            parameter.grad = torch.stack(known).sum(0).div_(count) if known else None
        return torch.stack([loss for loss, _ in parts]).mean()

    def _part(self, lesson: nn.Module, seed: int) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        rows = self.config.batch // self.how.threads
        with mixed_precision(self.device, bf16=self.how.bf16):  # each thread's own
            loss: Tensor = lesson(rows, torch.Generator().manual_seed(seed))
        # Not backward(): threads must not add to one `.grad` (PyTorch's notes on autograd, "Non-determinism").
        return loss.detach(), torch.autograd.grad(loss, list(self.parameters.values()), allow_unused=True)

    @contextmanager
    def _hands(self) -> Iterator[ThreadPoolExecutor | None]:
        """The threads, each of which computes alone. None where there is one: torch divides each operation among its own."""
        if self.how.threads == 1:
            yield None
            return
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(self.how.threads, initializer=torch.set_num_threads, initargs=(1,)) as hands:
                yield hands
        finally:
            torch.set_num_threads(before)

    def _attention(self) -> AbstractContextManager[None]:
        """On a CPU in bf16 the plain attention, whose backward pass is quicker, gives the decoder 1.2 times the steps."""
        return sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()

    @contextmanager
    def _compiling(self) -> Iterator[None]:
        """Say what to do where torch.compile cannot: its own message names neither net nor recipe."""
        if not self.how.compile:
            yield
            return
        from torch._dynamo.exc import BackendCompilerFailed

        try:
            yield
        except BackendCompilerFailed as error:
            reason = str(error).strip().splitlines()[0]
            raise DataError(f"{self.task.name}: torch.compile failed ({reason}); set compile = false in the recipe") from error

    def _rate(self, done: float) -> float:
        """Linear warm-up, then half a cosine down to 2 % of the peak."""
        warm = min(1.0, (self.progress.step + 1) / WARM_UP_STEPS)
        return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def _done(self) -> float:
        return self.ranks.from_first(self._share(), self.device)

    def _share(self) -> float:
        """How much of the budget is spent, by this process's own clock."""
        by_time = self.progress.seconds / (self.config.minutes * 60)
        by_steps = self.progress.step / self.config.max_steps if self.config.max_steps else 0.0
        return min(1.0, max(by_time, by_steps))

    def _with_ema(self) -> nn.Module:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self.ema[name])
        return self.task.net.eval()

    @contextmanager
    def _writer(self) -> Iterator[SummaryWriter | None]:
        """TensorBoard's writer, for the first process alone."""
        if not self.ranks.is_first:
            yield None
            return
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self.out / "tensorboard")) as writer:
            yield writer

    def _show(self, net: nn.Module, writer: SummaryWriter) -> None:
        # A compiled net would compile anew for the grid's number of rows.
        with torch.compiler.set_stance("force_eager") if self.how.compile else nullcontext():
            grid = self.task.grid(net)
        if grid is not None:
            writer.add_image("samples", (grid.clamp(-1, 1) + 1) / 2, self.progress.step)
            save_png(grid, self.out / "samples.png")
        plot_losses(self.progress.losses, self.task.name, self.out / "loss.png")

    def _save(self) -> None:
        """Keep the state; one that is not finite is worth nothing, and the one before it stays."""
        if not self.ranks.is_first or not torch.stack([p.isfinite().all() for p in self.parameters.values()]).all():
            return
        tensors = {f"net.{name}": p.detach() for name, p in self.parameters.items()} | {
            f"ema.{name}": p for name, p in (self.ema | self.fixed).items()
        }
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        about = json.dumps({"step": self.progress.step, "seconds": self.progress.seconds, "losses": self.progress.losses})
        temporary = self.out / ".state.safetensors.tmp"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata={"progress": about})
        temporary.replace(self.out / STATE)

    def _resume(self) -> None:
        from safetensors import safe_open

        path = self.out / STATE
        if not path.exists():
            return
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["progress"])
        tensors = load_file(path, device=str(self.device))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"net.{name}"])
                self.ema[name].copy_(tensors[f"ema.{name}"])
                if (step := tensors.get(f"adam.step.{name}")) is not None:
                    moments = {
                        key: torch.empty_like(parameter).copy_(tensors[f"adam.{key}.{name}"])
                        for key in ("exp_avg", "exp_avg_sq")
                    }
                    self.optimizer.state[parameter] = {"step": step, **moments}
        self.progress = Progress(about["step"], about["seconds"], [(step, loss) for step, loss in about["losses"]])


def ema_of(out: Path) -> dict[str, Tensor]:
    """The averaged weights that a stage left in its folder, by the net's names. Raises DataError where there is no state."""
    path = out / STATE
    if not path.exists():
        raise DataError(f"{out.name} has not been trained: there is no {path}")
    return {name.removeprefix("ema."): tensor for name, tensor in load_file(path).items() if name.startswith("ema.")}


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
