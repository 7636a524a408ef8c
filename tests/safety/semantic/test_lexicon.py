"""Words found again in letters that were pulled apart or disguised."""

from __future__ import annotations

import pytest

from contract.settings import BUNDLED_MODEL
from safety.semantic.lexicon import Lexicon, plain
from safety.semantic.tower import SentenceTower

LEXICON = Lexicon.of(SentenceTower.load(BUNDLED_MODEL).tokenizer)


@pytest.mark.parametrize(
    ("dressed", "bare"),
    [
        ("a r e d a p p l e o n a b e a c h", "a red apple on a beach"),
        ("g r e e n   h o u s e", "green house"),
        ("a.r.e.d h-o-u-s-e", "a red house"),
        ("a w0m4n w1th0ut 5h0es", "a woman without shoes"),
        ("a greeeeen house", "a green house"),
        ("a h\u200bouse", "a house"),
        ("a hоusе", "a house"),  # Cyrillic о, е
        ("a blue-footed bird", "a blue footed bird"),
        ("a 3d render, 4k", "a 3d render 4k"),
        ("1 apple, 50 pears and 700 figs of the 1960s", "1 apple 50 pears and 700 figs of the 1960s"),
        ("4n 4pp13 !n 7h3 gr4$$", "an apple in the grass"),
        ("a b-o-y w-i-t-h a k-i-t-e", "a boy with a kite"),
    ],
)
def test_a_prompt_is_read_as_plain_words(dressed: str, bare: str):
    assert plain(dressed, LEXICON) == bare


def test_letters_are_cut_where_the_words_are_commonest():
    words = Lexicon.of_words(["the", "man", "them", "an", "ate"])
    assert words.split("themanate") == "the man ate"


def test_letters_that_are_no_words_stay():
    assert LEXICON.split("qzx").replace(" ", "") == "qzx"
