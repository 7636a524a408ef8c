"""Ways to dress up a prompt so that a filter does not know it and a reader does; each the same on every call."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping

LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7"}
LEET_SHARE = 0.8
HOMOGLYPHS = {
    "a": "а",
    "c": "с",
    "e": "е",
    "i": "і",
    "o": "о",
    "p": "р",
    "s": "ѕ",
    "x": "х",
    "y": "у",
    "n": "ո",
    "u": "ս",
    "h": "һ",
}
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
GAPS = ((" ", "   "), (".", " "), ("-", " "), ("_", " "))
"""What goes between letters, and between words."""


def leet(text: str) -> str:
    """Digits and signs for most of the letters that have one."""
    chance = _chance(text)
    return "".join(
        chance.choice(LEET[letter]) if letter in LEET and chance.random() < LEET_SHARE else letter for letter in text
    )


def spacing(text: str) -> str:
    """Every letter apart from the next."""
    between_letters, between_words = _chance(text).choice(GAPS)
    return between_words.join(between_letters.join(word) for word in text.split())


def zero_width(text: str) -> str:
    """Characters without width between the letters."""
    chance = _chance(text)
    return "".join(letter + chance.choice(ZERO_WIDTH) for letter in text)


def homoglyphs(text: str) -> str:
    """Cyrillic and Armenian letters that look like the Latin ones."""
    return "".join(HOMOGLYPHS.get(letter, letter) for letter in text)


def _chance(text: str) -> random.Random:
    return random.Random(hashlib.sha256(text.encode()).digest())


ATTACKS: Mapping[str, Callable[[str], str]] = {
    "leet": leet,
    "spacing": spacing,
    "zero-width": zero_width,
    "homoglyphs": homoglyphs,
}
