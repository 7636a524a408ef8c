"""Concepts, their sprites per style, and what is held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.data.scenery import infos
from training.data.errors import DataError
from training.data.vocabulary import HeldOut, Vocabulary


def test_a_concept_has_its_sprites_in_every_style_and_skin_tone() -> None:
    judge = Vocabulary(infos())["judge"]
    assert {style: len(rows) for style, rows in judge.rows.items()} == {"flat": 5, "3d": 5}
    assert judge.is_person
    assert judge.nouns == ("judge",)


def test_hand_written_phrases_come_before_the_label() -> None:
    assert Vocabulary(infos())["red-apple"].nouns == ("red apple", "apple")


def test_only_a_tag_of_one_concept_stands_for_it() -> None:
    assert "fruit" not in Vocabulary(infos())["banana"].rare


def test_an_unknown_concept_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="'plum'"):
        Vocabulary(infos())["plum"]


def test_the_committed_lists_hold_pairs_out() -> None:
    held_out = HeldOut.read()
    assert len(held_out.styles) == 100
    assert len(held_out.relations) == 160
    assert held_out.templates


def test_a_line_that_is_no_pair_is_shown(tmp_path: Path) -> None:
    (tmp_path / "object-styles.txt").write_text("# a comment\nred apple flat\n")
    with pytest.raises(DataError, match="red apple flat"):
        HeldOut.read(tmp_path)
