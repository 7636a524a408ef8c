"""CLIP as a classifier, over a tiny model: what counts as right, and which sprites are asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evals.quality import zero_shot
from evals.quality.asked import Asked
from evals.quality.exam import Exam
from evals.quality.pictures import Pictures
from tests.evals.quality.stand_in import StandIn, bank
from tests.models.tiny import DEFAULTS, write_tiny_model
from training.data.scenes import Scene
from training.data.vocabulary import HeldOut

SETTINGS: Any = DEFAULTS


LISTS = {
    "colours": (
        Asked("a blue umbrella", 1, ("umbrella",), colour="blue"),
        Asked("a green umbrella", 2, ("umbrella",), colour="green"),
    ),
    "counts": (Asked("an umbrella", 3, ("umbrella",), count=1), Asked("three umbrellas", 4, ("umbrella",), count=3)),
}


class TinyExam(Exam):
    bank = bank()

    def asked(self, name: str, *, whole: bool = False) -> tuple[Asked, ...]:
        return LISTS[name]


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
    assert [figure.interval.n for figure in report.figures] == [1, 1, others, others, 2, 2, 1, 1]
    assert [figure.interval.value for figure in report.figures[:4]] == [1.0] * 4


def test_pictures_show_what_is_asked_and_are_told_from_others_like_it(exam: TinyExam, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes: list[Scene] = []
    captions: list[list[str]] = []
    compose, encode = zero_shot.compose, zero_shot.encode
    monkeypatch.setattr(zero_shot, "compose", lambda some, *of: scenes.extend(some) or compose(some, *of))
    monkeypatch.setattr(zero_shot, "encode", lambda text, said: captions.append(list(said)) or encode(text, said))
    zero_shot.zero_shot(exam)
    assert [[placed.colour for placed in scene.objects] for scene in scenes] == [["blue"], ["green"], [None] * 3]
    assert {placed.concept for scene in scenes for placed in scene.objects} == {"umbrella"}
    blue, three = (next(said for said in captions if wanted in said) for wanted in ("a blue umbrella", "three umbrellas"))
    assert all(caption.split()[1] == "blue" for caption in blue)
    assert all(caption.startswith("three ") for caption in three)
