"""Choosing styles by name."""

import pytest

from training.data.errors import DataError
from training.data.packages import STYLES, styles_named


@pytest.mark.parametrize("names", [None, []])
def test_no_names_mean_all_styles(names):
    assert styles_named(names) == STYLES


def test_styles_come_once_and_in_their_own_order():
    assert [style.name for style in styles_named(["noto", "flat", "noto"])] == ["flat", "noto"]


def test_an_unknown_style_is_refused_with_the_known_ones():
    with pytest.raises(DataError, match="no style 'openmoji'; choose from flat, fluent, 3d, noto, twemoji"):
        styles_named(["flat", "openmoji"])
