"""Other languages' words, read as English."""

from __future__ import annotations

import pytest

from safety.disguises import fold
from safety.glossary import Glossary

GLOSSARY = Glossary.load()


def test_whole_words_endings_and_words_without_gaps():
    glossary = Glossary.of(["# comment", "red = rojo, rot*, 赤い", "apple tree = manzano grande"])

    assert glossary.read("un rojo rotes manzano grande") == "un red red apple tree"
    assert glossary.read("とても赤いりんご").split() == ["とても", "red", "りんこ"] or "red" in glossary.read(
        "とても赤いりんご"
    )
    assert glossary.read("a rotten rojos thing") == "a red rojos thing"


@pytest.mark.parametrize(
    "prompt",
    [
        "una manzana roja",
        "une pomme rouge",
        "ein roter Apfel",
        "una mela rossa",
        "красное яблоко",
        "红苹果",
        "りんご",
        "빨간 사과",
    ],
)
def test_what_has_no_gloss_stays(prompt: str):
    assert GLOSSARY.read(fold(prompt)) == fold(prompt)


def test_a_line_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match="english = form"):
        Glossary.of(["rojo"])
