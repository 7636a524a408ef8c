"""The pieces of `unclip generate` that need no service."""

import pytest

from unclip.client import Model
from unclip.generate import Request, slug, stages_ahead


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


@pytest.mark.parametrize(
    ("asked", "ahead"),
    [
        ({"size": "256x256"}, {"prior": 9, "decoder": 12, "upsample_256": 4}),
        ({"size": "1024x1024"}, {"prior": 9, "decoder": 12, "upsample_256": 4, "upsample_1024": None}),
        ({"steps": 5, "prior": "autoregressive"}, {"prior_ar": None, "decoder": 5, "upsample_256": 4}),
        ({"size": "256x256", "decoder": "turbo"}, {"prior": 9, "decoder_turbo": None, "upsample_256": 4}),
    ],
)
def test_the_stages_ahead_are_those_of_the_request(asked, ahead):
    class Client:
        def models(self) -> list[Model]:
            stages = ("prior", "decoder", "upsample_256", "upsample_1024")
            defaults = {"prior_steps": 9, "steps": 12, "upsample_steps": 4}
            return [Model(id="tiny", owned_by="unclip", stages=stages, defaults=defaults)]

    assert stages_ahead(Client(), Request("a cat", **asked)) == ahead
