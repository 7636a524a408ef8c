"""The decoder stage is told of z_i and caption what its recipe says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.samplers.schedule import Schedule
from tests.training.tiny_decoder import tiny_decoder
from tests.training.tiny_source import TinySource
from training.tasks.decoder import DecoderTask, Told

SCHEDULE = Schedule.named("squaredcos_cap_v2")
ROWS = 256


def told(monkeypatch: pytest.MonkeyPatch, t_power: float = 0.0, **shares: float) -> dict[str, Tensor]:
    """Which of 256 rows the net was told what, and at which timesteps, by a task of the given shares."""
    source, net = TinySource(), tiny_decoder(patch_size=4)
    seen: dict[str, Tensor] = {}

    def watched(x, t, z_i, embeds, tokens, mask):
        seen["nothing"] = (z_i == net.text_proj.without_image(1)).all(1)
        seen["the picture's"] = (z_i[:, None] == source.z_i).all(2).any(1)
        seen["t"] = t
        seen["the caption"] = (embeds != source.empty.embeds).any(1)
        return x[:, :3]

    monkeypatch.setattr(net, "forward", watched)
    DecoderTask(net, source, SCHEDULE, Told(**shares), t_power).loss(ROWS, torch.Generator().manual_seed(0))
    return seen


def share(rows: Tensor) -> float:
    return rows.float().mean().item()


@pytest.mark.parametrize(("image", "text"), [(0.0, 1.0), (0.1, 0.5), (0.5, 0.0), (1.0, 0.3)])
def test_each_is_withheld_as_often_as_asked(monkeypatch: pytest.MonkeyPatch, image: float, text: float) -> None:
    seen = told(monkeypatch, drop_image=image, drop_text=text)
    assert share(seen["nothing"]) == pytest.approx(image, abs=0.08)
    assert share(~seen["the caption"]) == pytest.approx(text, abs=0.08)
    assert (seen["nothing"] ^ seen["the picture's"]).all()


def test_timesteps_are_as_dense_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    middle = SCHEDULE.timesteps / 2
    assert share(told(monkeypatch)["t"] >= middle) == pytest.approx(1 / 2, abs=0.01)
    assert share(told(monkeypatch, t_power=3.0)["t"] >= middle) == pytest.approx(15 / 16, abs=0.01)
