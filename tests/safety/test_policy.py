"""What an operator may choose."""

from __future__ import annotations

import pytest

from safety.policy import CATEGORIES, Policy


def test_categories_and_thresholds_are_read():
    policy = Policy.read(" hate, sexual/minors", "hate=0.5, sexual=0.75")

    assert policy == Policy(("sexual/minors", "hate"), {"hate": 0.5, "sexual": 0.75})


def test_left_alone_everything_is_refused_as_fitted():
    assert Policy.read(",".join(CATEGORIES), None) == Policy()


@pytest.mark.parametrize(
    ("categories", "thresholds", "told"),
    [
        ("sexual", None, "sexual/minors cannot"),
        ("sexual/minors,politics", None, "politics"),
        ("sexual/minors", "politics=0.5", "politics"),
        ("sexual/minors", "hate=2", "hate=2"),
        ("sexual/minors", "hate=nan", "hate=nan"),
        ("sexual/minors", "hate", "hate"),
    ],
)
def test_what_cannot_be_followed_is_named(categories: str, thresholds: str | None, told: str):
    with pytest.raises(ValueError, match=told):
        Policy.read(categories, thresholds)
