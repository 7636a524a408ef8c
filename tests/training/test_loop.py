"""The loop: several processes learn as one, a stopped run goes on, what cannot be compiled is said."""

from __future__ import annotations

import inspect
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tests.training.plain_ranks import CONFIG, SEED, LineTask
from training import loop as loops
from training.data.errors import DataError, LossDiverged
from training.distributed import Ranks
from training.loop import How, Loop, Progress, own_threads

ROOT = Path(__file__).parents[2]
SILENT = lambda name, progress, done, loss: None  # noqa: E731


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at them here."""
    monkeypatch.setattr(loops, "plot_losses", lambda *_: None)


class BothShares(LineTask):
    """The same task for one process that learns from what two would have learned from."""

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        first = 2 * generator.initial_seed()
        shares = [super(BothShares, self).loss(batch // 2, torch.Generator().manual_seed(first + rank)) for rank in (0, 1)]
        return torch.stack(shares).mean()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left that torchrun might have started."""
    out = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.training.plain_ranks", str(out)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in (0, 1)
    ]
    try:
        assert [process.wait(timeout=100) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return out


def test_two_processes_learn_what_one_learns_from_both_shares(two: Path, tmp_path: Path) -> None:
    alone = Loop(BothShares(), CONFIG, tmp_path, How(SEED), SILENT).run().state_dict()
    together = load_file(two / "rank0.safetensors")
    assert all(torch.allclose(together[name], tensor, atol=1e-6) for name, tensor in alone.items())


def test_two_threads_learn_what_one_learns_from_both_shares(tmp_path: Path) -> None:
    alone = Loop(BothShares(), CONFIG, tmp_path / "alone", How(SEED), SILENT).run().state_dict()
    together = Loop(LineTask(), CONFIG, tmp_path / "together", How(SEED, threads=2), SILENT).run().state_dict()
    assert all(torch.allclose(together[name], tensor, atol=1e-6) for name, tensor in alone.items())


@pytest.fixture
def _two_threads_of_torch() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads_of_torch")
def test_each_thread_computes_alone_and_torch_is_afterwards_as_before(tmp_path: Path) -> None:
    seen: list[tuple[str, int, bool]] = []
    together = threading.Barrier(2)

    class Watched(LineTask):
        def loss(self, batch: int, generator: torch.Generator) -> Tensor:
            together.wait(timeout=20)
            seen.append((threading.current_thread().name, torch.get_num_threads(), torch.backends.cuda.flash_sdp_enabled()))
            time.sleep(0.05 * (generator.initial_seed() % 2))  # who begins first ends first
            return super().loss(batch, generator)

    between: list[int] = []

    report = lambda name, progress, done, loss: between.append(torch.get_num_threads())  # noqa: E731
    Loop(Watched(), CONFIG, tmp_path, How(SEED, threads=2), report).run()
    assert ({(count, flash) for _, count, flash in seen}, set(between)) == ({(1, False)}, {1})
    assert len({name for name, *_ in seen} - {threading.current_thread().name}) == 2
    assert (torch.get_num_threads(), torch.backends.cuda.flash_sdp_enabled()) == (2, True)


def test_what_nothing_is_learned_of_has_no_gradient(tmp_path: Path) -> None:
    """Weight decay would move it else."""
    task = LineTask()
    task.net.register_parameter("unused", torch.nn.Parameter(torch.ones(3)))
    assert (Loop(task, CONFIG, tmp_path, How(SEED, threads=2), SILENT).run().unused == 1).all()


def test_all_processes_end_with_the_same_weights(two: Path) -> None:
    first, second = (load_file(two / f"rank{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(first[name], tensor) for name, tensor in second.items())


def test_the_first_process_alone_reports(two: Path) -> None:
    reports = []
    for rank in (0, 1):
        with safe_open(two / f"rank{rank}.safetensors", "pt") as file:
            reports.append(file.metadata()["reports"])
    assert reports == [str(CONFIG.max_steps), "0"]


def test_a_batch_that_cannot_be_shared_evenly_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="batch of 8"):
        Loop(LineTask(), CONFIG, tmp_path, How(SEED, ranks=Ranks(0, 3)), SILENT)
    with pytest.raises(DataError, match="3 threads cannot share a batch of 8"):
        Loop(LineTask(), CONFIG, tmp_path, How(SEED, threads=3), SILENT)


@pytest.mark.parametrize("how", [How(SEED, threads=2, ranks=Ranks(0, 2)), How(SEED, threads=2, compile=True)])
def test_threads_of_several_processes_or_of_compiled_nets_are_refused(how: How, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 threads learn in one process"):
        Loop(LineTask(), CONFIG, tmp_path, how, SILENT)


@pytest.mark.parametrize(
    ("threads", "batch", "expected"), [(2, 48, 2), (4, 48, 4), (8, 48, 1), (6, 32, 1), (1, 7, 1), (2, 12, 1)]
)
def test_all_threads_take_a_part_or_none(monkeypatch: pytest.MonkeyPatch, threads: int, batch: int, expected: int) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert own_threads(batch) == expected


def test_a_run_that_a_fault_cut_short_ends_with_the_same_weights(tmp_path: Path) -> None:
    def stop_at_three(name: str, progress: object, done: float, loss: float) -> None:
        if getattr(progress, "step", 0) == 3:
            raise KeyboardInterrupt

    straight = Loop(LineTask(), CONFIG, tmp_path / "straight", How(SEED), SILENT).run().state_dict()
    with pytest.raises(KeyboardInterrupt):
        Loop(LineTask(), CONFIG, tmp_path / "cut", How(SEED), stop_at_three).run()
    resumed = Loop(LineTask(), CONFIG, tmp_path / "cut", How(SEED), SILENT).run().state_dict()
    assert all(torch.allclose(straight[name], resumed[name], atol=1e-6) for name in straight)


@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_is_left_where_the_processor_would_emulate_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    used: set[bool] = set()

    class Watched(LineTask):
        def loss(self, batch: int, generator: torch.Generator) -> Tensor:
            used.add(torch.is_autocast_enabled("cpu"))
            return super().loss(batch, generator)

    monkeypatch.setattr("training.precision.computes_bf16", lambda _: has)
    Loop(Watched(), CONFIG, tmp_path, How(SEED, bf16=True), SILENT).run()
    assert used == {has}


def test_a_net_that_cannot_be_compiled_here_says_which_key_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import InductorError

    def without_a_compiler(task: LineTask, batch: int, generator: torch.Generator) -> Tensor:
        raise InductorError(RuntimeError("no working C++ compiler"), inspect.currentframe())

    monkeypatch.setattr(LineTask, "loss", without_a_compiler)
    with pytest.raises(DataError, match=r"no working C\+\+ compiler.*compile = false"):
        Loop(LineTask(), CONFIG, tmp_path, How(SEED, compile=True), SILENT).run()


class Diverging(LineTask):
    """Its third loss is no number."""

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        loss = super().loss(batch, generator)
        return loss * (math.nan if generator.initial_seed() % 1_000_003 == SEED * 1_000_003 % 1_000_003 + 2 else 1.0)


class Noted(LineTask):
    """Keeps the seed of each of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: list[int] = []

    def loss(self, batch: int, generator: torch.Generator) -> Tensor:
        self.seeds.append(generator.initial_seed())
        return super().loss(batch, generator)


@pytest.mark.parametrize(("look_every", "looks"), [(1, [1, 2, 3, 4, 5, 6]), (4, [4, 6]), (20, [6])])
def test_losses_looked_at_together_are_those_of_the_same_steps(tmp_path: Path, look_every: int, looks: list[int]) -> None:
    task, steps = Noted(), list[int]()

    def report(name: str, progress: Progress, done: float, loss: float) -> None:
        steps.append(progress.step)

    Loop(task, CONFIG, tmp_path, How(SEED), report, look_every).run()
    assert steps == looks
    assert task.seeds == [SEED * 1_000_003 + step for step in range(6)]


def test_the_clock_of_a_look_holds_all_of_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def second(task: LineTask, batch: int, generator: torch.Generator) -> Tensor:
        now[0] += 1
        return task.net(torch.ones(batch, 4)).square().mean()

    monkeypatch.setattr(LineTask, "loss", second)
    monkeypatch.setattr("training.loop.time.monotonic", lambda: now[0])
    loop = Loop(LineTask(), CONFIG, tmp_path, How(SEED), SILENT, look_every=4)
    loop.run()
    assert loop.progress.seconds == 6


def test_a_loss_that_is_no_number_ends_the_stage_and_keeps_the_good_state_before_it(tmp_path: Path) -> None:
    def stop_at_two(name: str, progress: Progress, done: float, loss: float) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Loop(Diverging(), CONFIG, tmp_path, How(SEED), stop_at_two).run()
    good = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(LossDiverged, match="lower the learning rate"):
        Loop(Diverging(), CONFIG, tmp_path, How(SEED), SILENT).run()
    assert (tmp_path / "state.safetensors").read_bytes() == good
