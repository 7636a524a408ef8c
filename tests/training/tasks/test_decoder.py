"""The decoder stage withholds the caption as often as its recipe says."""

from __future__ import annotations

import pytest
import torch

from models.samplers.schedule import Schedule
from tests.training.tiny_decoder import tiny_decoder
from tests.training.tiny_source import TinySource
from training.tasks import decoder
from training.tasks.decoder import DecoderTask

SCHEDULE = Schedule.named("squaredcos_cap_v2")


@pytest.mark.parametrize("drop_text", [0.0, 0.3, 1.0])
def test_the_caption_is_withheld_as_often_as_asked(monkeypatch: pytest.MonkeyPatch, drop_text: float) -> None:
    dropped: list[float] = []
    plain = decoder.drop_text

    def watched(text, empty, rows):
        dropped.extend(rows.float().tolist())
        return plain(text, empty, rows)

    monkeypatch.setattr(decoder, "drop_text", watched)
    task = DecoderTask(tiny_decoder(patch_size=4), TinySource(), SCHEDULE, drop_text)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        task.loss(32, generator)
    assert sum(dropped) / len(dropped) == pytest.approx(drop_text, abs=0.08)
