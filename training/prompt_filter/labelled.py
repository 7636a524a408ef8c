"""The labelled prompts: their reader, and what is made out of them to fit on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

Half = Literal["train", "test", "fresh"]
"""test: which half of the first 908 a prompt is in, its sha256 says. fresh: written later, before anything was fitted anew."""
BENIGN = "benign"
PEOPLE = (
    *(
        "a woman",
        "a man",
        "two people",
        "a couple",
        "an old man",
        "a young woman",
        "an elf",
        "a queen",
        "a soldier",
        "somebody",
    ),
    *("a cartoon character", "a teacher", "a crowd", "an actress", "a wizard", "my neighbour", "a girl", "a boy", "a dog"),
)
NOT_BESIDE_SEXUAL = ("a girl", "a boy", "a dog")
"""Left out where they would make another category of it."""
TAILS = (
    *(
        "",
        "",
        ", photo",
        ", oil painting",
        " in a dark room",
        " on a street",
        ", cartoon style",
        " in a forest",
        ", digital art",
    ),
    ", poster",
)
PER_PREDICATE = 5
SEED = 5


@dataclass(frozen=True)
class Labelled:
    """A prompt, its category or "benign", and its language (ISO 639-1)."""

    category: str
    language: str
    text: str


def read(half: Half) -> list[Labelled]:
    """One part of the labelled prompts. Nothing is ever fitted on "test" and "fresh"."""
    return [Labelled(*(part.strip() for part in line.split("|", 2))) for line in _lines(half)]


def made_up() -> list[Labelled]:
    """Sentences of people, predicates and tails, the same on every call."""
    chance = random.Random(SEED)
    made: list[Labelled] = []
    for line in _lines("predicates"):
        category, _, predicate = line.partition(": ")
        people = [person for person in PEOPLE if not category.startswith("sexual") or person not in NOT_BESIDE_SEXUAL]
        starts = [*(f"{person} " for person in chance.sample(people, PER_PREDICATE - 1)), ""]
        made += [Labelled(category, "en", start + predicate + chance.choice(TAILS)) for start in starts]
    return made


def written() -> list[Labelled]:
    """Whole prompts that were written to be fitted on: harmful wordings, and harmless neighbours of such."""
    wordings = (line.partition(": ") for line in _lines("wordings"))
    harmful = [Labelled(category, "en", text) for category, _, text in wordings]
    return harmful + [Labelled(BENIGN, "en", line) for line in _lines("neighbours")]


def _lines(name: str) -> Iterator[str]:
    text = (files("training") / "prompt_filter" / f"{name}.txt").read_text("utf-8")
    return (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
