"""Undoes the ways in which a word is dressed up to pass a filter: foreign letters, digits for letters, gaps, stretching."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

_CYRILLIC = ("авекмнорстухіјѕԁԛԝһӏь", "abekmhopctyxijsdqwhlb")
_GREEK = ("αβγεηικνορτυχω", "abyenikvoptuxw")
_ARMENIAN = ("օցոսհ", "ognuh")
_LATIN = ("ıɡøłđħɩ", "igoldhi")
LOOK_ALIKES = str.maketrans(*("".join(letters) for letters in zip(_CYRILLIC, _GREEK, _ARMENIAN, _LATIN, strict=True)))
"""Lower-case letters without a Unicode decomposition that look like plain Latin ones."""
LEET = str.maketrans("03456789@$!|+€(", "oeasgtbgasiltec")
"""Digits and signs read as letters. 1 is not among them: it is read both as i and as l."""
WORD = re.compile(r"[^\W_]+")
SPELLED = re.compile(r"(?<!\S)\w(?: \w){2,}(?!\S)")
STRETCHED = re.compile(r"(\w)\1{2,}")
SPELLED_LENGTHS = range(3, 21)


def readings(text: str, is_listed: Callable[[str], bool]) -> frozenset[str]:
    """Return every way the text may be meant, each as lower-case words with one space between.

    `is_listed` says of one word whether any list has it: letters that stand alone are joined only where they make such a word.
    """
    folded = fold(text)
    signed = {folded, _unleeted(folded, "i"), _unleeted(folded, "l")}
    texts = {_words(text) for text in signed} | {_squashed(text, is_listed) for text in signed}
    texts |= {STRETCHED.sub(kept, reading) for reading in tuple(texts) for kept in (r"\1", r"\1\1")}
    candidates = {word for reading in texts for word in _spelled_out(reading)}
    spelled = {word for word in candidates if is_listed(word)}
    return frozenset(reading for reading in texts | spelled if reading)


def fold(text: str) -> str:
    """Lower-case the text and take off accents, full-width forms, invisible characters and foreign look-alikes."""
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    decomposed = unicodedata.normalize("NFKD", visible).casefold()
    bare = "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
    return unicodedata.normalize("NFKC", bare).translate(LOOK_ALIKES)


def _words(folded: str) -> str:
    return " ".join(WORD.findall(folded))


def _squashed(folded: str, is_listed: Callable[[str], bool]) -> str:
    """Drop the signs inside a chunk where that makes a listed word: `p.o-r_n` is one, `blue-footed` stays two."""
    chunks = (WORD.findall(chunk) for chunk in folded.split())
    return " ".join("".join(parts) if is_listed("".join(parts)) else " ".join(parts) for parts in chunks)


def _unleeted(folded: str, one: str) -> str:
    """Read digits and signs as letters, in chunks that have a letter: `1` alone stays a number."""
    chunks = (chunk.translate(LEET).replace("1", one) if any(map(str.isalpha, chunk)) else chunk for chunk in folded.split())
    return " ".join(chunks)


def _spelled_out(words: str) -> Iterator[str]:
    """Join characters that stand alone in a row, from each to each later one: `a p o r n film` hides a word behind its `a`."""
    for run in SPELLED.findall(words):
        letters = run.replace(" ", "").translate(LEET)
        for start in range(len(letters)):
            yield from (letters[start : start + length] for length in SPELLED_LENGTHS if start + length <= len(letters))
