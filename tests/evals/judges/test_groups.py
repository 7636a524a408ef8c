import pytest
import torch

from evals.judges.groups import TABLE, Groups, by_name, derive
from tests.evals.judges.tiny_bank import SIDE, info
from training.data.labels import SpriteInfo
from training.data.sprite_bank import SpriteBank


def noise_bank(infos: list[SpriteInfo], seeds: list[int]) -> SpriteBank:
    """Each sprite is noise of its seed; equal seeds are equal pixels."""
    sprites = [torch.randint(0, 256, (4, SIDE, SIDE), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return SpriteBank.of(infos, torch.stack(sprites).to(torch.uint8), SIDE)


@pytest.mark.parametrize(
    ("name", "emoji_group", "group"),
    [
        ("ten-thirty", "travel-places", "clock-face"),
        ("flag-chad", "flags", "flag"),
        ("pirate-flag", "flags", "pirate-flag"),
        ("woman-cook", "people-body", "cook"),
        ("man-walking-facing-right", "people-body", "person-walking"),
        ("woman-dark-skin-tone-red-hair", "people-body", "person"),
        ("family-man-boy", "people-body", "family"),
        ("womans-hat", "objects", "womans-hat"),
        ("cat-face", "animals-nature", "cat"),
        ("full-moon-face", "travel-places", "full-moon-face"),
    ],
)
def test_names_lose_what_makes_no_other_thing(name, emoji_group, group):
    assert by_name(info(name, emoji_group), {"cook", "cat", "full-moon"}) == group


def test_things_that_differ_in_colour_alone_are_one():
    bank = noise_bank([info(name) for name in ("blue-book", "green-book", "white-cane")], [1, 2, 3])
    groups = derive(bank)
    assert groups.of("blue-book") == groups.of("green-book") == "book"
    assert groups.of("white-cane") == "white-cane"


def test_names_of_one_code_point_are_one():
    groups = derive(noise_bank([info("phoenix", codepoints="1f426"), info("fire-bird", codepoints="1f426")], [1, 2]))
    assert groups.of("phoenix") == groups.of("fire-bird")


def test_sprites_that_look_alike_are_one():
    groups = derive(noise_bank([info("stop"), info("record"), info("car")], [1, 1, 2]))
    assert groups.of("stop") == groups.of("record") != groups.of("car")


def test_looking_alike_in_one_of_two_styles_is_not_enough():
    infos = [info(name, style=style) for style in ("flat", "noto") for name in ("stop", "record")]
    groups = derive(noise_bank(infos, [1, 1, 2, 3]))
    assert groups.of("stop") != groups.of("record")


def test_what_emojibase_does_not_know_is_left_out():
    assert not derive(noise_bank([info("car"), info("thing", group=None)], [1, 2])).knows("thing")


def test_the_table_reads_as_it_was_written(tmp_path):
    groups = Groups({"stop": "button", "record": "button", "car": "car"})
    groups.write(tmp_path / "groups.json")
    read = Groups.read(tmp_path / "groups.json")
    assert (read.names, read.of("record")) == (groups.names, "button")


def test_the_committed_table_groups_what_the_docs_say():
    groups = Groups.read(TABLE)
    assert groups.of("one-oclock") == groups.of("ten-thirty")
    assert groups.of("flag-chad") == groups.of("flag-romania")
    assert groups.of("red-heart") == groups.of("blue-heart")
    assert groups.of("dog") != groups.of("cat")
    assert groups.concepts > 2000
