"""What icon names and code points tell of skin tones."""

import pytest

from training.data.labels import Emojibase

KNOWN = Emojibase([{"label": "vertical traffic light", "hexcode": "1F6A6", "group": 5}], {"groups": []})


@pytest.mark.parametrize(
    ("name", "codepoints", "base", "tones"),
    [
        ("vertical-traffic-light", "1f6a6", "vertical-traffic-light", None),
        ("skier-medium-dark", None, "skier", ("medium-dark",)),
        ("skier-light-skin-tone", "26f7-1f3fb", "skier", ("light",)),
        ("handshake-dark-skin-tone-light-skin-tone", "1faf1-1f3ff-200d-1faf2-1f3fb", "handshake", ("dark", "light")),
        ("breast-feeding-tone3", None, "breast-feeding", ("medium",)),
        ("bowl", None, "bowl", None),
    ],
)
def test_skin_tones_leave_the_base_name(name, codepoints, base, tones):
    info = KNOWN.describe(name, codepoints, "tiny")
    assert (info.base, info.skin_tone) == (base, tones)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("red apple", "red-apple"),
        ("flag: Côte d’Ivoire", "flag-cote-divoire"),
        ("flag: U.S. Virgin Islands", "flag-us-virgin-islands"),
        ("flag: Turks & Caicos Islands", "flag-turks-and-caicos-islands"),
        ("kiss: man, man, light skin tone", "kiss-man-man-light-skin-tone"),
    ],
)
def test_a_label_becomes_a_name_in_the_way_of_the_icon_sets(label, name):
    known = Emojibase([{"label": label, "hexcode": "1F6A6"}], {"groups": []})
    assert known.icon("1f6a6") == (name, "1f6a6")


@pytest.mark.parametrize(
    ("spelled", "hexcode", "codepoints"),
    [
        ("a9", "00A9-FE0F", "00a9"),
        ("1f3f4-e0067_e0062", "1F3F4-E0067-E0062-E007F", "1f3f4-e0067-e0062-e007f"),
    ],
)
def test_packages_may_spell_code_points_in_their_own_ways(spelled, hexcode, codepoints):
    known = Emojibase([{"label": "sign", "hexcode": hexcode}], {"groups": []})
    assert known.icon(spelled) == ("sign", codepoints)


def test_code_points_that_emojibase_does_not_list_have_no_icon():
    assert KNOWN.icon("1f999") is None
