"""Decisions over what the detector saw."""

import pytest

from evals.judges.judges import Seen, SeenObject
from evals.quality import verdicts
from evals.quality.asked import Asked

LEFT, RIGHT, TOP, BOTTOM = (0.25, 0.5), (0.75, 0.5), (0.5, 0.25), (0.5, 0.75)


def group(concept: str) -> str:
    return {"red-apple": "apple", "green-apple": "apple"}.get(concept, concept)


def one(name: str, at: tuple[float, float] = (0.5, 0.5), colour: str | None = None, size: float = 0.4) -> SeenObject:
    return SeenObject(name, (name,), colour, *at, size, 0.9)


def seen(*objects: SeenObject, backdrop: str = "plain white") -> Seen:
    return Seen(objects, backdrop)


def test_any_look_alike_of_any_asked_name_is_right():
    asked = Asked("fruit", 0, ("pear", "red-apple"))
    assert verdicts.is_named(["car", "apple"], asked, group)
    assert not verdicts.is_named(["car", "apple"], asked, group, among=1)


def test_a_colour_counts_only_on_the_named_object():
    asked = Asked("a blue car", 0, ("car",), colour="blue")
    assert verdicts.is_coloured(seen(one("car", colour="blue")), asked, group)
    assert not verdicts.is_coloured(seen(one("bus", colour="blue"), one("car", colour="red")), asked, group)
    assert verdicts.has_colour(seen(one("bus", colour="blue")), asked, group)


@pytest.mark.parametrize(
    ("names", "is_counted", "has_count"),
    [
        (("car", "car"), True, True),
        (("car",), False, False),
        (("car", "bus"), False, True),
        (("car", "car", "bus"), False, False),
    ],
)
def test_a_count_is_of_the_named_object_and_of_nothing_else(names, is_counted, has_count):
    asked = Asked("two cars", 0, ("car",), count=2)
    picture = seen(*(one(name) for name in names))
    assert verdicts.is_counted(picture, asked, group) == is_counted
    assert verdicts.has_count(picture, asked, group) == has_count


@pytest.mark.parametrize(
    ("relation", "first", "other"),
    [("left of", LEFT, RIGHT), ("right of", RIGHT, LEFT), ("above", TOP, BOTTOM), ("below", BOTTOM, TOP), ("on", TOP, BOTTOM)],
)
def test_a_relation_holds_one_way_round(relation, first, other):
    asked = Asked("", 0, ("cat",), relation=relation, other="car")
    assert verdicts.is_related(seen(one("cat", first), one("car", other)), asked, group)
    assert not verdicts.is_related(seen(one("car", first), one("cat", other)), asked, group)


def test_of_a_slanted_pair_the_longer_way_decides():
    cat, car = one("cat", (0.2, 0.4)), one("car", (0.8, 0.6))
    assert verdicts.stands(cat, car, "left of")
    assert not verdicts.stands(cat, car, "above")


def test_inside_wants_the_smaller_within_the_larger():
    small, large = one("cat", (0.5, 0.45), size=0.3), one("box", (0.5, 0.5), size=0.9)
    assert verdicts.stands(small, large, "inside")
    assert not verdicts.stands(large, small, "inside")
    assert not verdicts.stands(one("cat", LEFT, size=0.3), large, "inside")


def test_a_relation_needs_both_objects():
    asked = Asked("", 0, ("cat",), relation="left of", other="car")
    assert not verdicts.is_related(seen(one("cat", LEFT), one("bus", RIGHT)), asked, group)
    assert not verdicts.has_both(seen(one("cat", LEFT), one("bus", RIGHT)), asked, group)
    assert verdicts.has_both(seen(one("cat", RIGHT), one("car", LEFT)), asked, group)


def test_a_backdrop_is_the_asked_one_whatever_stands_before_it():
    asked = Asked("", 0, ("cat",), backdrop="meadow")
    assert verdicts.has_backdrop(seen(backdrop="meadow"), asked, group)
    assert not verdicts.has_backdrop(seen(one("cat"), backdrop="plain green"), asked, group)
