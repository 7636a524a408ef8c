import random
from dataclasses import replace

import pytest

from evals.judges.groups import Groups
from evals.judges.judges import Seen, SeenObject
from evals.judges.verify import CLAIMS, alter, judge_scene
from training.data.scenes import Backdrop, Placed, Scene

GROUPS = Groups({"cat": "cat", "dog": "dog", "red-heart": "heart", "blue-heart": "heart"})
SCENE = Scene(
    (Placed(0, "dog", None, 0.74, 0.5, 0.4), Placed(1, "cat", "blue", 0.26, 0.5, 0.4)),
    Backdrop("plain", ("pink",)), "flat", "left of", None, "a blue cat left of a dog",
)  # fmt: skip


def seen(scene: Scene, **changes) -> Seen:
    objects = tuple(
        replace(SeenObject(p.concept, (p.concept, "fox"), p.colour, p.x + 0.03, p.y, p.size, 0.9), **changes)
        for p in scene.objects
    )
    return Seen(objects, "plain pink")


def test_what_is_as_told_is_right_in_every_claim():
    assert judge_scene(seen(SCENE), SCENE, GROUPS) == dict.fromkeys(CLAIMS, True)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"likely": ("fox",)}, {"objects", "colour", "place"}),
        ({"colour": "red"}, {"colour"}),
        ({"y": 0.9}, {"place"}),
    ],
)
def test_what_is_seen_otherwise_is_wrong_in_that_claim_alone(changes, wrong):
    verdicts = judge_scene(seen(SCENE, **changes), SCENE, GROUPS)
    assert {claim for claim, right in verdicts.items() if not right} == wrong


def test_one_object_more_is_a_wrong_count():
    more = Seen((*seen(SCENE).objects, seen(SCENE).objects[0]), "plain pink")
    assert [claim for claim, right in judge_scene(more, SCENE, GROUPS).items() if not right] == ["count"]


def test_one_seen_object_is_not_two_wanted_ones():
    two = replace(SCENE, objects=(SCENE.objects[0], replace(SCENE.objects[0], x=0.3)))
    one = Seen(seen(two).objects[:1], "plain pink")
    assert not judge_scene(one, two, GROUPS)["objects"]


def test_wanted_objects_are_paired_so_that_most_are_found():
    both = SeenObject("cat", ("cat", "dog"), None, 0.5, 0.5, 0.4, 0.9)
    cat = replace(both, likely=("cat",))
    assert judge_scene(Seen((both, cat), "plain pink"), SCENE, GROUPS)["objects"]


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_scene_altered_in_a_claim_is_refused_in_it(claim):
    altered = alter(SCENE, claim, ["cat", "dog", "red-heart"], GROUPS, random.Random(1))
    assert altered is not None
    assert not judge_scene(seen(SCENE), altered, GROUPS)[claim]


def test_what_a_scene_does_not_claim_cannot_be_altered():
    plain = replace(SCENE, relation=None, objects=tuple(replace(p, colour=None) for p in SCENE.objects))
    assert alter(plain, "colour", ["cat"], GROUPS, random.Random(1)) is None
    assert alter(plain, "place", ["cat"], GROUPS, random.Random(1)) is None
