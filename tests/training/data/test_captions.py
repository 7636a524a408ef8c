"""Object lists and the captions made from them."""

from pathlib import Path

import pytest

from training.data.captions import ObjectWords, captions, read_objects
from training.data.errors import DataError

BOOTSTRAP = Path(__file__).parents[3] / "training/configs/bootstrap-objects.txt"


def test_captions_go_from_one_word_to_a_sentence():
    made = captions(ObjectWords("pizza", ("a pizza", "a slice of pizza")))
    assert made[:4] == ("pizza", "slice of pizza", "a pizza", "a slice of pizza")
    assert "an emoji of a slice of pizza" in made
    assert len(set(made)) == len(made)


def test_the_bootstrap_list_holds_120_objects_whose_captions_mean_one_object_each():
    objects = read_objects(BOOTSTRAP)
    made = [caption for words in objects for caption in captions(words)]
    assert len(objects) == 120
    assert len(set(made)) == len(made)


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
