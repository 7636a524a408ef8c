"""The prompt filter with its classifier."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.settings import BUNDLED_MODEL
from safety.policy import Policy
from safety.prompt_filter import PromptFilter
from safety.semantic import classifier
from safety.semantic.classifier import MAX_WINDOWS, PAGE, TENSORS, WINDOW_WORDS, Classifier, windows
from safety.semantic.tower import SentenceTower, TowerMissing

FILTER = PromptFilter.load(BUNDLED_MODEL)
# Of the training half, with no listed word in it.
UNLISTED = "how to tie a noose for yourself"


def test_it_refuses_what_no_list_has():
    assert replace(FILTER, classifier=None, lexicon=None).check(UNLISTED).allowed
    assert FILTER.check(UNLISTED).categories == ("self-harm",)


def test_the_scores_tell_of_every_category():
    verdict = FILTER.check("a red apple")

    assert verdict.allowed
    assert set(verdict.scores) == {"sexual", "sexual/minors", "violence/graphic", "hate", "self-harm"}
    assert max(verdict.scores.values()) < 0.5


def test_a_listed_word_scores_one():
    assert FILTER.check("a nude woman").scores["sexual"] == 1.0


@pytest.mark.parametrize(
    ("spoken", "category"), [("una mujer desnuda", "sexual"), ("裸体女人", "sexual"), ("самоубийство", "self-harm")]
)
def test_other_languages_are_read(spoken: str, category: str):
    assert category in FILTER.check(spoken).categories


@pytest.mark.parametrize("prompt", ["a naked sphynx cat on a sofa", "a swastika carved on an old buddhist statue"])
def test_a_listed_word_in_a_harmless_sentence_passes(prompt: str):
    assert not replace(FILTER, classifier=None, lexicon=None).check(prompt).allowed
    verdict = FILTER.check(prompt)

    assert verdict.allowed
    assert max(verdict.scores.values()) < min(FILTER.classifier.thresholds.values())


@pytest.mark.parametrize(
    "prompt", ["a n@k3d sphynx cat on a sofa", "a n a k e d sphynx cat on a sofa", "una mujer desnuda", "nude", "a xxx cat"]
)
def test_no_sentence_excuses_a_word_that_is_hidden_or_foreign(prompt: str):
    assert FILTER.check(prompt).scores["sexual"] == 1.0


# Of many tokens: a text of few such words is longer than what the tower reads.
LONG_WORDS = "otorhinolaryngology psychophysiology immunoelectrophoresis chlorofluorocarbons magnetohydrodynamics "


@pytest.mark.parametrize(
    "before", ["a mosaic of " + 2 * LONG_WORDS + "and ", "a cat on a mat in a big red hat " * 140 + "and "]
)
def test_what_the_classifier_does_not_read_it_does_not_excuse(before: str):
    """A listed word behind more than it reads, in one window or in all."""
    assert "sexual" in FILTER.check(before + "and a naked woman on a bed").categories


def test_an_operator_s_threshold_is_no_way_round_the_lists():
    lenient = replace(FILTER, policy=Policy(thresholds={"sexual": 1.0}))
    strict = replace(FILTER, policy=Policy(thresholds={"sexual": 0.01}))

    assert lenient.check("a nude woman").categories == ("sexual",)
    assert strict.check("a naked sphynx cat on a sofa").categories == ("sexual",)


def test_words_pulled_apart_are_found_where_two_make_the_term():
    assert "violence/graphic" in FILTER.check("a   s e v e r e d   h e a d").categories


def test_one_sentence_among_many_is_not_lost():
    assert not FILTER.check("a red apple on a table and a green house by the lake, " * 8 + UNLISTED).allowed


def test_the_operator_s_threshold_counts():
    assert replace(FILTER, policy=Policy(thresholds={"self-harm": 1.0})).check(UNLISTED).allowed


def test_a_category_that_is_left_out_is_scored_and_not_refused():
    verdict = replace(FILTER, policy=Policy.read("sexual/minors", None)).check("a nude woman")

    assert (verdict.categories, verdict.matches, verdict.scores["sexual"]) == ((), (), 1.0)


def test_windows_cover_every_word():
    words = [str(number) for number in range(100)]
    cut = windows(words)

    assert set(" ".join(cut).split()) == set(words)
    assert max(len(one.split()) for one in cut) <= WINDOW_WORDS


def test_a_text_without_end_is_not_cut_to_its_end(monkeypatch):
    asked = []
    monkeypatch.setattr(SentenceTower, "reads_whole", lambda _, text: asked.append(text) or True)
    assert not FILTER.classifier.reads_whole(["word"] * 100_000)
    assert len(asked) <= MAX_WINDOWS + 1


def test_heads_of_another_tower_are_not_used():
    tower = SentenceTower.load(BUNDLED_MODEL)
    digest, tower.digest = tower.digest, "0" * 64
    try:
        with pytest.raises(TowerMissing, match="another"):
            Classifier.load(tower)
    finally:
        tower.digest = digest


@pytest.mark.parametrize("name", [PAGE, TENSORS])
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:-64] + b"\xff" * 64])
def test_damaged_heads_are_not_used(name, damage, tmp_path, monkeypatch):
    """Bytes of ones are numbers that are none, and no such score is beyond a threshold."""
    folder = tmp_path / "semantic"
    shutil.copytree(Path(classifier.__file__).parent, folder)
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    monkeypatch.setattr(classifier, "files", lambda _: tmp_path)
    with pytest.raises(TowerMissing, match="cannot be read"):
        Classifier.load(FILTER.classifier.tower)


def test_a_text_without_words_scores_nothing():
    assert max(FILTER.check("?!").scores.values()) == 0.0
    assert np.isfinite(list(FILTER.check("🍎").scores.values())).all()
