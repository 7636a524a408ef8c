"""The pieces of `unclip generate` that need no service."""

import pytest

from unclip.generate import slug


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a slice of pizza", "a-slice-of-pizza"),
        ("  A Red, red APPLE!  ", "a-red-red-apple"),
        ("../../etc/passwd", "etc-passwd"),
        ("강아지 한 마리", "강아지-한-마리"),
        ("_-_", "picture"),
        ("!?", "picture"),
    ],
)
def test_a_prompt_becomes_a_file_name(prompt, expected):
    assert slug(prompt) == expected


def test_a_long_prompt_leaves_room_in_a_file_name_of_255_bytes():
    assert len(slug("강" * 1000).encode()) < 200
