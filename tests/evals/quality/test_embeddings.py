"""Where a name is lost, measured over a tiny model: whose z_i is near, and that pictures come from the z_i that is given."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from evals.quality.asked import Asked
from evals.quality.embeddings import Sprites, embeddings, from_z_i, own_sprite, sprites_of
from evals.quality.exam import Exam
from evals.quality.pictures import Pictures
from models.clip.image import ImageTower
from tests.evals.quality.stand_in import StandIn, bank
from tests.models.tiny import DEFAULTS, write_tiny_model

SETTINGS: Any = DEFAULTS
ASKED = (Asked("a cat", 1, ("cat",)), Asked("an umbrella", 2, ("umbrella",)))


class TinyExam(Exam):
    bank = bank()

    def asked(self, name, *, whole=False):
        return ASKED


@pytest.fixture(scope="module")
def exam(tmp_path_factory) -> TinyExam:
    folder = tmp_path_factory.mktemp("embeddings")
    pictures = Pictures(write_tiny_model(folder / "model"), folder / "pictures")
    return TinyExam(pictures, StandIn(), SETTINGS, folder / "out", data=folder)


@pytest.fixture(scope="module")
def sprites(exam) -> Sprites:
    return sprites_of(exam.bank, ImageTower.load(exam.pictures.model_dir))


def test_there_is_one_sprite_of_each_concept_and_style(exam, sprites):
    pairs = [(exam.bank.infos[row].base, exam.bank.infos[row].style) for row in sprites.rows]
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == {(info.base, info.style) for info in exam.bank.infos if info.group is not None}
    assert [concept for concept, _ in pairs] == list(sprites.concepts)


def test_the_nearest_are_told_from_the_mean_of_all():
    shared = torch.tensor([9.0, 0.0, 0.0])
    own = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    sprites = Sprites(range(4), ["up", "down", "left", "right"], shared + own)
    found = sprites.nearest(shared + torch.tensor([[0.0, -0.2, 0.1], [0.0, 0.0, 5.0]]), 2)
    assert found == [["down", "left"], ["left", found[1][1]]]


def test_a_true_z_i_is_of_the_asked_concept(sprites):
    assert {sprites.concepts[own_sprite(sprites, replace(ASKED[0], seed=seed))] for seed in range(9)} == {"cat"}


def test_pictures_come_from_the_z_i_that_is_given(exam, sprites):
    one, same, other = from_z_i(exam, [ASKED[0]] * 3, torch.stack([sprites.z_i[0], sprites.z_i[0], -3 * sprites.z_i[0]]))
    assert one.shape == (64, 64, 3)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_report_tells_prior_and_decoder_apart(exam):
    report = embeddings(exam)
    assert [figure.interval.n for figure in report.figures] == [2] * 8
    assert [figure.interval.value for figure in report.figures[-2:]] == [1.0, 1.0]
    assert (exam.out / "embeddings.png").is_file()
