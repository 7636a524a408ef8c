"""Scenes are as their captions say, and never what is held out."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from tests.training.data.scenery import infos
from training.data.scene_maker import SceneMaker, relation_places
from training.data.scenes import RELATIONS, Scene
from training.data.shares import Shares
from training.data.vocabulary import HeldOut

NOTHING = HeldOut(frozenset(), frozenset(), frozenset())
SHARES = Shares(
    styles={"flat": 0.5, "3d": 0.5}, concepts={"everyday": 0.8, "people-body": 0.2}, backdrops={"white": 0.4, "scenery": 0.6}
)


def scenes(count: int, held_out: HeldOut = NOTHING, shares: Shares = SHARES, **options: frozenset[int]) -> list[Scene]:
    maker, rng = SceneMaker(infos(), held_out, shares, **options), random.Random(7)
    return [maker.draw(rng) for _ in range(count)]


def test_the_same_generator_gives_the_same_scenes() -> None:
    assert scenes(50) == scenes(50)


def test_a_concept_in_a_held_out_style_is_never_shown() -> None:
    held_out = replace(NOTHING, styles=frozenset({("cat", "3d")}))
    shown = {(placed.concept, scene.style) for scene in scenes(600, held_out) for placed in scene.objects}
    assert ("cat", "flat") in shown
    assert ("cat", "3d") not in shown


def test_a_held_out_pair_never_stands_in_a_relation() -> None:
    pair = frozenset({"cat", "banana"})
    only = replace(SHARES, kinds={"relation": 1.0}, concepts={"everyday": 1.0})
    related = [frozenset(placed.concept for placed in scene.objects) for scene in scenes(400, NOTHING, only)]
    assert pair in related  # it would come without the list
    held_out = replace(NOTHING, relations=frozenset({pair}))
    assert pair not in [frozenset(placed.concept for placed in scene.objects) for scene in scenes(400, held_out, only)]


def test_an_object_that_stands_alone_is_as_large_as_asked() -> None:
    alone = replace(SHARES, kinds={"single": 1.0})
    assert min(scene.objects[0].size for scene in scenes(200, shares=alone)) < 0.5
    large = replace(alone, small=0.0, large_sizes=(0.86, 0.98))
    assert all(0.86 <= scene.objects[0].size <= 0.98 for scene in scenes(200, shares=large))


def test_objects_in_company_come_from_concepts_of_their_own() -> None:
    for scene in scenes(200, shares=replace(SHARES, concepts={"people-body": 1.0}, company={"everyday": 1.0})):
        alone = len(scene.objects) == 1
        assert all((placed.concept == "judge") is alone for placed in scene.objects)


def test_a_held_out_template_is_never_used() -> None:
    held_out = replace(NOTHING, templates=frozenset({"this shows {subject}{behind}"}))
    assert not any(scene.caption.startswith("this shows") for scene in scenes(400, held_out))


def test_counted_scenes_hold_that_many_equal_sprites() -> None:
    for scene in scenes(200, shares=replace(SHARES, kinds={"count": 1.0})):
        assert len(scene.objects) == scene.count
        assert len({placed.sprite for placed in scene.objects}) == 1


def test_what_takes_no_colour_is_given_none() -> None:
    coloured = replace(SHARES, recoloured=1.0)
    shown = [placed for scene in scenes(100, shares=coloured, colourable=frozenset({0})) for placed in scene.objects]
    assert {placed.colour is not None for placed in shown if placed.sprite == 0} == {True}
    assert {placed.colour for placed in shown if placed.sprite != 0} == {None}


def test_a_coloured_object_never_lies_on_its_own_colour() -> None:
    coloured = replace(SHARES, recoloured=1.0, backdrops={"plain": 0.5, "patterns": 0.5})
    for scene in scenes(300, shares=coloured):
        assert not {placed.colour for placed in scene.objects} & set(scene.backdrop.colours)


def test_skin_tones_come_equally_often() -> None:
    people = replace(SHARES, kinds={"single": 1.0}, concepts={"people-body": 1.0}, styles={"flat": 1.0})
    seen = Counter(scene.objects[0].sprite for scene in scenes(2000, shares=people))
    assert len(seen) == 5
    assert min(seen.values()) > 330  # 400 each, and a standard deviation of 18


@pytest.mark.parametrize("relation", RELATIONS)
def test_places_obey_their_relation(relation: str) -> None:
    rng = random.Random(3)
    for _ in range(50):
        (x, y, size), (other_x, other_y, other_size) = relation_places(relation, rng)
        obeyed = {
            "left of": x < other_x, "right of": x > other_x, "above": y < other_y, "below": y > other_y,
            "on": y + size / 2 == pytest.approx(other_y - other_size / 2, abs=0.1) and abs(x - other_x) < 0.1,
            "inside": size < other_size / 2 and max(abs(x - other_x), abs(y - other_y)) + size / 2 < other_size / 2,
        }  # fmt: skip
        assert obeyed[relation]
