"""Pictures that are filed under another emoji's code points."""

import pytest

from training.data.errata import fluent_3d


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        pytest.param("1f34e", "1F34E", id="an object is what it is called"),
        pytest.param("1f44b-1f3fc", "1F44B-1F3FD", id="medium-light holds medium"),
        pytest.param("1f469-1f3fd-200d-1f373", "1F469-1F3FC-200D-1F373", id="medium holds medium-light"),
        pytest.param("1f44b-1f3ff", "1F44B-1F3FF", id="dark is dark"),
        pytest.param("1f468-1f3fc-200d-1f4bb", "1F468-1F3FC-200D-1F4BB", id="technologists are right"),
        pytest.param("1f491-1f3fc", "1F491-1F3FC", id="pairs are right"),
        pytest.param(
            "1f468-1f3fd-200d-2764-fe0f-200d-1f468-1f3fd", "1F468-1F3FD-200D-2764-200D-1F468-1F3FD", id="joined pairs too"
        ),
        pytest.param("1f6b5-1f3fb", "1F6B5-1F3FF", id="light mountain biker holds dark"),
        pytest.param("1f6b5-1f3fc-200d-2642-fe0f", "1F6B5-1F3FD-200D-2642", id="a man on a mountain bike is as most"),
        pytest.param("1f9cf-1f3fc-200d-2642-fe0f", "1F9CF-1F3FD-200D-2640", id="the deaf man holds the deaf woman"),
    ],
)
def test_a_picture_goes_by_what_it_shows(file, shown):
    assert fluent_3d(file) == shown
