"""In float32 on a CPU nets learn by Winograd, and each thread a part of every batch."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from tests.training.tiny_run import SILENT, make_run, tiny_recipe, write_discs
from training import run as runs
from training.build_nets import SCHEDULE, build_decoder
from training.config import StageConfig
from training.distributed import Ranks
from training.loop import How, Loop, Progress, Report, ema_of
from training.run import Run
from training.tasks.decoder import DecoderTask
from training.winograd import WinogradConv2d


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which a decoder is trained."""
    run = make_run(tiny_recipe(), write_discs(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("begun"))
    for stage in ("bank", "clip", "decoder", "inpaint"):
        getattr(run, stage)()
    return run


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grids take longer than a tiny stage."""
    monkeypatch.setattr(Loop, "_show", lambda *_: None)


@pytest.mark.parametrize(
    ("stage", "how", "native", "ranks", "expected"),
    [
        ("decoder", {"bf16": True}, False, 1, (WinogradConv2d, 2)),
        ("decoder", {"bf16": False}, True, 1, (WinogradConv2d, 2)),
        ("decoder", {"bf16": True}, True, 1, (nn.Conv2d, 1)),
        ("decoder", {"compile": True}, False, 1, (nn.Conv2d, 1)),
        ("decoder", {"bf16": True}, False, 2, (WinogradConv2d, 1)),
        ("clip", {"bf16": True}, False, 1, (WinogradConv2d, 1)),
    ],
)
def test_in_float32_on_a_cpu_each_thread_learns_by_winograd(
    monkeypatch: pytest.MonkeyPatch,
    begun: Run,
    stage: str,
    how: dict[str, bool],
    native: bool,
    ranks: int,
    expected: tuple[type, int],
) -> None:
    hows: list[How] = []

    def loop(task: DecoderTask, config: StageConfig, out: Path, how: How, report: Report) -> Mock:
        hows.append(how)
        return Mock()

    monkeypatch.setattr(runs, "Loop", loop)
    monkeypatch.setattr(runs, "computes_bf16", lambda device: native)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(Run, "source", None)
    run = Run(begun.recipe.model_copy(update=how), begun.data, begun.out, SILENT, ranks=Ranks(0, ranks))
    task = DecoderTask(run._placed(build_decoder(run.recipe)), None, SCHEDULE)
    task.name = stage
    run._train(task, run.recipe.decoder)
    assert (type(task.net.unet.conv_in), hows[0].threads) == expected


@pytest.mark.parametrize("stage", ["decoder", "turbo", "upsample_256"])
def test_two_threads_learn_the_same_each_time_and_when_stopped(
    monkeypatch: pytest.MonkeyPatch, begun: Run, tmp_path: Path, stage: str
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    stopped: list[str] = []

    def learn(folder: str, report: Report) -> dict[str, torch.Tensor]:
        run = Run(begun.recipe, begun.data, tmp_path / folder, report)
        shutil.copytree(begun.out, run.out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(stage))
        getattr(run, stage)()
        return ema_of(run.out / stage)

    def stop_at_two(name: str, progress: Progress, done: float, loss: float) -> None:
        if progress.step == 2 and not stopped:
            stopped.append(name)
            raise KeyboardInterrupt

    first, again = learn("first", SILENT), learn("again", SILENT)
    with pytest.raises(KeyboardInterrupt):
        learn("stopped", stop_at_two)
    resumed = learn("stopped", SILENT)
    assert stopped == [stage]
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert all(torch.allclose(resumed[name], tensor, atol=1e-6) for name, tensor in first.items())
