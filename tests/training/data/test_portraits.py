"""A portrait leaves nothing to chance but what it shows, and its caption says that."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.training.data.scenery import infos
from training.config import ScenesConfig, read_recipe
from training.data.phrasing import COUNTS, RELATION_WORDS, STYLE_WORDS
from training.data.portraits import ALONE, COUNTED, RELATED
from training.data.scene_maker import SceneMaker
from training.data.scenes import COLOURS, Scene
from training.data.shares import Shares
from training.data.vocabulary import HeldOut

NOTHING = HeldOut(frozenset(), frozenset(), frozenset())
SHARES = Shares(
    kinds={"portrait": 1.0}, styles={"3d": 0.2, "flat": 0.8}, concepts={"everyday": 0.8, "people-body": 0.2}, recoloured=1.0
)


def portraits(kind: str, held_out: HeldOut = NOTHING, **options: frozenset[int]) -> list[Scene]:
    maker = SceneMaker(infos(), held_out, replace(SHARES, portraits={kind: 1.0}, company={"everyday": 1.0}), **options)
    rng = random.Random(7)
    return [maker.draw(rng) for _ in range(200)]


def where(scene: Scene) -> tuple[tuple[float, float, float], ...]:
    return tuple((placed.x, placed.y, placed.size) for placed in scene.objects)


@pytest.mark.parametrize("kind", ["bare", "styled", "coloured", "counted", "related"])
def test_nothing_but_white_is_behind_it_and_no_word_is_said_of_that(kind: str) -> None:
    for scene in portraits(kind):
        assert scene.backdrop.colours == ("white",)
        assert not any(word in scene.caption for word in ("background", "backdrop"))


@pytest.mark.parametrize("kind", ["bare", "coloured", "counted", "related"])
def test_it_is_in_the_commonest_style_that_is_not_held_out_and_names_none(kind: str) -> None:
    held_out = replace(NOTHING, styles=frozenset({("cat", "flat")}))
    drawn = portraits(kind, held_out)
    first = [(scene.objects[-1].concept == "cat", scene.style) for scene in drawn]
    assert set(first) == {(True, "3d"), (False, "flat")}
    assert not any(word in scene.caption for scene in drawn for word in STYLE_WORDS.values())


def test_a_bare_one_is_a_sprite_as_it_is() -> None:
    for scene in portraits("bare"):
        assert where(scene) == (ALONE,)
        assert scene.objects[0].colour is None


def test_a_styled_one_is_in_any_style_that_is_not_held_out_and_names_it() -> None:
    drawn = portraits("styled", replace(NOTHING, styles=frozenset({("cat", "flat")})))
    assert {scene.style for scene in drawn} == {"flat", "3d"}
    for scene in drawn:
        assert STYLE_WORDS[scene.style] in scene.caption
        assert (scene.objects[0].concept, scene.style) != ("cat", "flat")


def test_a_coloured_one_is_in_the_colour_that_is_said() -> None:
    drawn = portraits("coloured")
    assert {scene.objects[0].colour for scene in drawn} == set(COLOURS)
    assert all(str(scene.objects[0].colour) in scene.caption for scene in drawn)


def test_what_takes_no_colour_keeps_its_own() -> None:
    for scene in portraits("coloured", colourable=frozenset()):
        assert scene.objects[0].colour is None
        if scene.objects[0].concept in ("cat", "banana"):  # a red apple is one, and a purple umbrella
            assert not any(f" {colour} " in scene.caption for colour in COLOURS)


def test_a_counted_one_is_so_many_of_the_same_in_their_places() -> None:
    drawn = portraits("counted")
    assert {scene.count for scene in drawn} == set(COUNTED)
    for scene in drawn:
        count = scene.count or 0
        assert where(scene) == COUNTED[count]
        assert len({placed.sprite for placed in scene.objects}) == 1
        assert COUNTS[count] in scene.caption


def test_a_related_one_is_two_things_in_their_places() -> None:
    drawn = portraits("related")
    assert {scene.relation for scene in drawn} == set(RELATED)
    for scene in drawn:
        relation = scene.relation or ""
        assert where(scene) == tuple(reversed(RELATED[relation]))  # the second is drawn first
        assert any(words in scene.caption for words in RELATION_WORDS[relation])


def test_a_held_out_pair_is_never_related() -> None:
    pair = frozenset({"cat", "banana"})
    assert pair in [frozenset(placed.concept for placed in scene.objects) for scene in portraits("related")]
    held_out = replace(NOTHING, relations=frozenset({pair}))
    shown = [frozenset(placed.concept for placed in scene.objects) for scene in portraits("related", held_out)]
    assert pair not in shown


@pytest.mark.parametrize("places", [*COUNTED.values(), *RELATED.values()])
def test_every_object_is_inside_the_picture(places: tuple[tuple[float, float, float], ...]) -> None:
    assert all(size / 2 <= at <= 1 - size / 2 for x, y, size in places for at in (x, y))


def test_the_bundled_recipe_asks_for_every_kind() -> None:
    assert set(read_recipe("bundled").scenes.portraits) == {"bare", "styled", "coloured", "counted", "related"}


@pytest.mark.parametrize("shares", [{}, {"bare": 0.0}, {"bare": 1.0, "styled": -0.5}])
def test_a_recipe_without_a_share_to_draw_by_is_refused(shares: dict[str, float]) -> None:
    scenes = read_recipe("bundled").scenes.model_dump()
    with pytest.raises(ValueError, match="portraits has no share above 0"):
        ScenesConfig.model_validate({**scenes, "portraits": shares})
