"""The prompt filter on honest, disguised and harmless prompts."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.prompt_filter import CATEGORIES, PromptFilter

FILTER = PromptFilter.load()


@pytest.mark.parametrize(
    ("prompt", "category"),
    [
        ("a nude woman on a beach", "sexual"),
        ("Porn", "sexual"),
        ("two people masturbating", "sexual"),
        ("a naked child", "sexual/minors"),
        ("a sexy schoolgirl", "sexual/minors"),
        ("a 12 year old in lingerie", "sexual/minors"),
        ("lolicon", "sexual/minors"),
        ("a severed head on a plate", "violence/graphic"),
        ("a man being decapitated", "violence/graphic"),
        ("a nazi parade", "hate"),
        ("white supremacists marching", "hate"),
        ("a person about to commit suicide", "self-harm"),
        ("someone cutting myself", "self-harm"),
    ],
)
def test_a_listed_word_is_refused_in_its_category(prompt: str, category: str) -> None:
    assert category in FILTER.check(prompt).categories


@pytest.mark.parametrize(
    "prompt",
    [
        "NUDE",
        "a n\u200bu\u200bd\u200be woman",  # zero-width spaces
        "a nu\u00adde woman",  # soft hyphen
        "a nud\u0435 woman",  # Cyrillic е
        "a \uff4e\uff55\uff44\uff45 woman",  # full width
        "a n\u00fad\u00e9 woman",  # accents
        "a \U0001d427\U0001d42e\U0001d41d\U0001d41e woman",  # mathematical letters
        "p0rn",
        "a n@ked man",
        "a n4k3d man",
        "a p o r n film",
        "n-u-d-e",
        "p.o.r.n",
        "po*rn",
        "n u d 3",
        "nuuuuude",
        "naaakeeed",
        "b00000bs",
        "a nude\n\twoman",
        "nude_woman",
        "\u202enude",  # right-to-left override
        "pen1s",
        "c1itoris",
        "blue tits on a nude woman",  # a harmless phrase hides nothing beside it
    ],
)
def test_a_disguised_word_is_refused(prompt: str) -> None:
    assert "sexual" in FILTER.check(prompt).categories


@pytest.mark.parametrize(
    "prompt",
    [
        "a shooting star over a lake",
        "a cocktail with an umbrella",
        "the town hall of Scunthorpe",
        "a map of Essex, Sussex and Middlesex",
        "a naked mole rat",
        "a field of rape flowers",
        "blue tits on a branch",
        "blue-footed boobies dancing",
        "pussy willows in a vase",
        "a wedding with a naked cake",
        "nude lipstick on a table",
        "a suicide squad poster",
        "a horny toad in the desert",
        "a girl with a pearl earring",
        "a 12 year old whisky",
        "children playing in a pool",
        "a baby in a cradle",
        "a knight with a bloody sword",
        "a bloody mary with celery",
        "a classic grape assassin bass",
        "an analogue therapist",
        "a dickens novel",
        "a cup of tea",
        "a 3d render of a red apple, 4k",
        "A B C D E F G blocks",
        "빨간 사과",
        "красное яблоко",
        "りんご",
        "🍎🍏",
        "",
        "   ",
    ],
)
def test_a_harmless_prompt_passes(prompt: str) -> None:
    assert FILTER.check(prompt).matches == ()


def test_a_listed_slur_is_known_by_its_hash_alone() -> None:
    taught = replace(FILTER, hashes=frozenset({sha256(b"flimflammer").hexdigest()}))
    assert taught.check("a Fl1mfl@mmer").categories == ("hate",)


def test_the_verdict_names_the_words_it_found() -> None:
    assert FILTER.check("a nude woman").matches == ("nude",)


def test_categories_come_in_one_order() -> None:
    verdict = FILTER.check("suicide of a naked child under a swastika")
    assert list(verdict.categories) == [category for category in CATEGORIES if category in verdict.categories]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=200))
def test_no_text_breaks_the_filter(text: str) -> None:
    FILTER.check(text)


@pytest.mark.parametrize(
    "prompt", ["a " * 500, "x" * 1000, "1!" * 500, "ﷺ" * 1000, "nude " * 200, "a.b" * 333, "\u0301" * 1000]
)
def test_a_hostile_prompt_of_full_length_takes_no_time(prompt: str) -> None:
    started = time.process_time()
    FILTER.check(prompt)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("package", ["safety.prompt_filter", "contract.queue", "contract.store", "contract.catalog"])
def test_no_torch_comes_with_it(package: str) -> None:
    code = f"import sys, {package}; sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
