"""Cases for inpainting: one object masked, nothing else like it in the picture, three ways to ask for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evals.inpainting.cases import SHARES, Case, make_cases, object_mask, size_of
from tests.training.data.scenery import infos
from training.data.scene_maker import SceneMaker
from training.data.shares import Shares
from training.data.sprite_bank import SpriteBank
from training.data.vocabulary import HeldOut

WORDS = ("apple", "banana", "cat", "umbrella")
NOTHING = HeldOut(frozenset(), frozenset(), frozenset())
SHOWN = Shares(kinds={"single": 0.5, "relation": 0.5}, styles={"flat": 1.0}, concepts={"everyday": 1.0})


def bank() -> SpriteBank:
    """A disc of its own colour for each sprite."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    alpha = ((rows - 32) ** 2 + (columns - 32) ** 2 < 30**2).byte() * 255
    colours = torch.randint(0, 256, (len(infos()), 3, 1, 1), generator=torch.Generator().manual_seed(0)).byte()
    discs = torch.cat([colours.expand(-1, -1, 64, 64), alpha.expand(len(colours), 1, -1, -1)], dim=1)
    return SpriteBank.of(infos(), discs, 64)


def cases(each: int = 4, **options: object) -> list[Case]:
    torch.set_num_threads(1)
    given = {"group": str, "seed": 0} | options
    return make_cases(SceneMaker(infos(), NOTHING, SHOWN), bank(), each=each, **given)


def test_each_size_has_as_many_cases_as_were_wanted() -> None:
    made = cases()
    assert [case.size for case in made] == [size for size in SHARES for _ in range(4)]
    assert all(size_of(case.mask) == case.size for case in made)


def test_the_same_seed_gives_the_same_cases() -> None:
    for one, other in zip(cases(2), cases(2), strict=True):
        assert np.array_equal(one.picture, other.picture)
        assert np.array_equal(one.mask, other.mask)
        assert (one.prompts, one.seed) == (other.prompts, other.seed)


def test_the_prompts_name_the_object_or_say_nothing() -> None:
    for case in cases():
        word = case.concept.split("-")[-1]
        assert word in case.prompts["simple"]
        assert word in case.prompts["full"] or len(case.prompts["full"]) > len(case.prompts["simple"])
        assert case.prompts["empty"] == ""


def test_no_other_object_of_the_picture_is_of_the_same_group() -> None:
    def most_named(**options: object) -> int:
        return max(sum(word in case.prompts["full"] for word in WORDS) for case in cases(4, **options))

    assert most_named() == 2
    assert most_named(group=lambda concept: "all alike") == 1


def test_what_the_judge_does_not_know_is_passed_over() -> None:
    def knows_cats(concept: str) -> str:
        return {"cat": "cat"}[concept]

    assert {case.concept for case in cases(2, group=knows_cats)} == {"cat"}


def test_too_few_scenes_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.inpainting.cases.MOST_SCENES", 64)
    with pytest.raises(ValueError, match="64 scenes gave"):
        cases(500)


def test_a_mask_is_the_box_of_what_is_seen_with_a_margin() -> None:
    owners = np.zeros((64, 64), dtype=np.uint8)
    owners[20:40, 10:30] = 2
    owners[0:5, 0:5] = 1
    rows, columns = np.nonzero(object_mask(owners, 2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (19, 40, 9, 30)


def test_what_is_not_seen_has_no_size() -> None:
    assert size_of(object_mask(np.zeros((64, 64), dtype=np.uint8), 1)) is None
