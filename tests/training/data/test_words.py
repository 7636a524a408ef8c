"""The hand-written phrases."""

from pathlib import Path

import pytest

from training.data.errors import DataError
from training.data.vocabulary import WORDS
from training.data.words import read_objects


def test_every_familiar_concept_has_phrases_of_its_own():
    objects = read_objects(WORDS)
    assert len(objects) == 286
    assert all(words.phrases for words in objects)


def write(folder: Path, text: str) -> Path:
    path = folder / "objects.txt"
    path.write_text(text)
    return path


def test_a_phrase_that_means_two_objects_is_refused(tmp_path):
    with pytest.raises(DataError, match="'apple' means both 'red-apple' and 'green-apple'"):
        read_objects(write(tmp_path, "red-apple: a red apple, an apple\ngreen-apple: a green apple, apple\n"))


def test_a_line_without_phrases_is_named_by_its_number(tmp_path):
    with pytest.raises(DataError, match="line 3"):
        read_objects(write(tmp_path, "# fruit\nred-apple: an apple\npear\n"))
