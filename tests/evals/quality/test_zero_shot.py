"""CLIP as a classifier, over a tiny model: what counts as right, and which sprites are asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evals.quality import zero_shot
from evals.quality.exam import Exam
from evals.quality.pictures import Pictures
from tests.evals.quality.stand_in import StandIn, bank
from tests.models.tiny import DEFAULTS, write_tiny_model
from training.data.vocabulary import HeldOut

SETTINGS: Any = DEFAULTS


class TinyExam(Exam):
    bank = bank()


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> TinyExam:
    folder = tmp_path_factory.mktemp("zero-shot")
    pictures = Pictures(write_tiny_model(folder / "model"), folder / "pictures")
    return TinyExam(pictures, StandIn(), SETTINGS, folder / "out", data=folder)  # type: ignore[arg-type]


def test_the_likest_names_come_first_and_look_alikes_once() -> None:
    z_t = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    z_i = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.2, 1.0]])
    named = zero_shot.named_first(z_i, z_t, ["clock", "clock", "cat", "dog"], 2)
    assert named == [["clock", "cat"], ["dog", "cat"]]


def test_held_out_sprites_stand_beside_their_concepts_in_other_styles(exam: TinyExam, monkeypatch: pytest.MonkeyPatch) -> None:
    own = sorted({(info.base, info.style) for info in exam.bank.infos if info.group is not None})
    held_out = next(pair for pair in own if sum(pair[0] == concept for concept, _ in own) > 1)
    others = sum(concept == held_out[0] for concept, _ in own) - 1
    monkeypatch.setattr(HeldOut, "read", lambda: HeldOut(frozenset([held_out]), frozenset(), frozenset()))
    monkeypatch.setattr(zero_shot, "named_first", lambda z_i, *_: [[held_out[0]]] * len(z_i))
    report = zero_shot.zero_shot(exam)
    assert [figure.interval.n for figure in report.figures] == [1, 1, others, others]
    assert [figure.interval.value for figure in report.figures] == [1.0] * 4
