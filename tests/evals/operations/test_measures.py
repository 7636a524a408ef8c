"""What the measurements of operations are made of."""

import numpy as np
import pytest

from evals.failures import a_crowd, both_bound
from evals.judges.judges import Seen, SeenObject
from evals.operations.bench import psnr
from evals.operations.parts import overlap
from evals.typographic import titles, with_word

GREY = np.full((64, 64, 3), 100, dtype=np.uint8)


def test_psnr_is_in_decibels_of_the_full_range():
    assert psnr(GREY, GREY) == float("inf")
    assert psnr(GREY, GREY + np.uint8(10)) == pytest.approx(28.13, abs=0.01)


def test_overlap_is_intersection_over_union():
    left, top = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    left[:, :2], top[:2] = True, True
    assert overlap(left, top) == pytest.approx(4 / 12)
    assert overlap(None, top) == 0


def test_a_word_covers_the_middle_alone():
    attacked = with_word(GREY, "pizza")
    assert attacked.shape == GREY.shape
    assert np.abs(attacked[:16].astype(int) - GREY[:16]).max() <= 1
    assert attacked[24:40].max() > 240


def test_familiar_things_have_names():
    assert titles()["red-apple"] == "a red apple"


def seen(*colours: str | None) -> Seen:
    return Seen(tuple(SeenObject("thing", ("thing",), colour, 0.5, 0.5, 0.2, 0.9) for colour in colours), "plain white")


def test_verdicts_of_the_probes():
    assert both_bound(seen("red", "blue"))
    assert not both_bound(seen("red", "red"))
    assert not both_bound(seen("red", "blue", None))
    assert a_crowd(seen(*["red"] * 5))
    assert not a_crowd(seen("red"))
