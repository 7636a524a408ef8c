"""Coalesced previews."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from workers.engine import Sketch
from workers.previews import PreviewBoard, encode_preview


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    return Clock()


def sketch(shade: int, stage: str = "decoder") -> Sketch:
    return Sketch(np.full((64, 64, 3), shade, np.uint8), stage, 0)


def test_the_first_preview_is_due_at_once_and_the_next_a_fifth_of_a_second_later(clock):
    board = PreviewBoard(clock)
    assert board.is_due("a")
    board.post("a", sketch(1))
    clock.now = 0.19
    assert not board.is_due("a")
    clock.now = 0.2
    assert board.is_due("a")


def test_only_the_latest_waits(clock):
    board = PreviewBoard(clock)
    latest = sketch(2)
    board.post("a", sketch(1))
    board.post("a", latest)
    assert board.waiting() == {"a": latest}


def test_what_was_sent_waits_no_more_and_what_was_not_stays(clock):
    board = PreviewBoard(clock)
    board.post("a", sketch(1))
    board.post("b", sketch(1))
    told = {"a": board.waiting()["a"]}
    board.sent(told)
    assert list(board.waiting()) == ["b"]


def test_one_posted_while_the_last_was_being_sent_still_waits(clock):
    board = PreviewBoard(clock)
    board.post("a", sketch(1))
    told = board.waiting()
    board.post("a", sketch(2))
    board.sent(told)
    assert list(board.waiting()) == ["a"]


def test_a_picture_that_did_not_change_is_not_sent_again(clock):
    board = PreviewBoard(clock)
    board.post("a", sketch(1))
    board.sent(board.waiting())
    board.post("a", sketch(1))
    assert board.waiting() == {}


def test_a_job_that_ended_is_forgotten(clock):
    board = PreviewBoard(clock)
    board.post("a", sketch(1))
    board.forget("a")
    assert board.waiting() == {}


def test_a_preview_is_a_png_of_exactly_these_pixels():
    noisy = Sketch(np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8), "decoder", 0)
    with Image.open(io.BytesIO(encode_preview(noisy))) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), noisy.pixels)
