"""Captions say what the scene shows, in English."""

from __future__ import annotations

import random

import pytest

from tests.training.data.scenery import infos
from training.data import phrasing
from training.data.scenes import Backdrop, Placed
from training.data.vocabulary import Vocabulary


def placed(colour: str | None = None) -> Placed:
    return Placed(0, "umbrella", colour, 0.5, 0.5, 0.9)


@pytest.mark.parametrize(
    ("noun", "colour", "tones", "said"),
    [
        ("umbrella", None, None, "an umbrella"),
        ("umbrella", "blue", None, "a blue umbrella"),
        ("crossed swords", None, None, "crossed swords"),
        ("judge", None, ("dark",), "a judge with dark skin"),
    ],
)
def test_one_object(noun: str, colour: str | None, tones: tuple[str, ...] | None, said: str) -> None:
    assert phrasing.noun_phrase(noun, placed(colour), tones) == said


@pytest.mark.parametrize(("noun", "count", "said"), [("slice of pizza", 3, "three slices of pizza"), ("mouse", 2, "two mice")])
def test_several_equal_objects(noun: str, count: int, said: str) -> None:
    assert phrasing.counted_phrase(noun, None, count) == said


def test_a_red_apple_made_blue_is_no_longer_called_red() -> None:
    apple, rng = Vocabulary(infos())["red-apple"], random.Random(0)
    assert {phrasing.choose_noun(apple, rng, is_recoloured=True) for _ in range(30)} == {"apple"}


@pytest.mark.parametrize(
    ("backdrop", "words"),
    [
        (Backdrop("plain", ("blue",)), "blue"),
        (Backdrop("gradient", ("red", "white")), "red to white gradient"),
        (Backdrop("checks", ("red", "white")), "red and white checked"),
    ],
)
def test_backdrops_by_name(backdrop: Backdrop, words: str) -> None:
    assert phrasing.backdrop_words(backdrop) == words


def test_only_templates_with_a_place_for_it_name_the_style() -> None:
    rng, templates = random.Random(1), (*phrasing.TEMPLATES, *phrasing.STYLED_TEMPLATES)
    assert all("3D" in phrasing.frame("a cat", "", "3d", templates, rng) for _ in range(50))
    assert not any("{" in phrasing.frame("a cat", " at sea", None, templates, rng) for _ in range(50))
