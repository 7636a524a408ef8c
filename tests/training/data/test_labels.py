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
