"""The autoregressive prior learns which z_i belongs to which caption, and what to say without one."""

from __future__ import annotations

import math

import pytest
import torch

from models.clip.text import TextFeatures
from models.nets.prior_ar import PriorAR, PriorARConfig
from tests.training.tiny_source import TinySource
from training.pca import fit_codes
from training.tasks import prior_ar
from training.tasks.prior_ar import PriorARTask, draw_codes

DIM, BUCKETS = 16, 16


def tiny_task(source: TinySource | None = None) -> PriorARTask:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    source = source or TinySource(size_px=8)
    net = PriorAR(PriorARConfig(DIM, 4, 16, 2, 6, components=7, buckets=BUCKETS, dot_buckets=4))
    torch.nn.init.normal_(net.positional_embedding, std=0.02)
    fit_codes(net, source, torch.Generator().manual_seed(0), examples=256)
    return PriorARTask(net, source)


def learned(steps: int) -> PriorARTask:
    task = tiny_task()
    optimizer = torch.optim.AdamW([p for p in task.net.parameters() if p.requires_grad], lr=3e-3)
    for number in range(steps):
        optimizer.zero_grad()
        task.loss(32, torch.Generator().manual_seed(number)).backward()
        optimizer.step()
    return task


def loss(task: PriorARTask) -> float:
    return float(task.loss(16, torch.Generator().manual_seed(5)).detach())


def test_an_untrained_net_is_as_good_as_guessing() -> None:
    assert loss(tiny_task()) == pytest.approx(math.log(BUCKETS), abs=0.4)


def test_a_caption_comes_to_draw_the_z_i_of_its_picture() -> None:
    task = learned(80)
    source = TinySource(size_px=8)
    dots = task.net.dot_tokens(source.z_i, source.text.embeds)
    with torch.no_grad():
        codes = draw_codes(task.net.eval(), source.text, dots, torch.Generator().manual_seed(0))
    nearest = (task.net.codes.decode(codes) @ source.z_i.T).argmax(dim=1)
    assert nearest.tolist() == list(range(8))


def test_a_dropped_condition_is_dropped_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior_ar, "DROP_CONDITION", 1.0)
    task = tiny_task()
    before = loss(task)
    source = task.source
    assert isinstance(source, TinySource)
    text = source.text
    source.text = TextFeatures(-text.embeds, text.tokens + 1, ~text.mask, text.truncated)
    assert loss(task) == before


def test_an_undropped_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior_ar, "DROP_CONDITION", 0.0)
    task = tiny_task()
    before = loss(task)
    assert isinstance(task.source, TinySource)
    text = task.source.text
    task.source.text = TextFeatures(text.embeds, text.tokens + 1, text.mask, text.truncated)
    assert loss(task) != before


def test_the_loss_comes_from_the_generator_alone() -> None:
    assert loss(tiny_task()) == loss(tiny_task())


def test_the_grid_has_a_cell_for_each_caption_and_picture() -> None:
    task = tiny_task()
    grid = task.grid(task.net)
    assert grid.shape == (3, 64 * 4, 64 * 4)
    assert bool(grid.isfinite().all())
