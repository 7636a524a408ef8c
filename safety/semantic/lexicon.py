"""English words by how common they are, to find the words in letters that were pulled apart or disguised.

The words are the tokenizer's own, which BERT's authors ordered by frequency.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from tokenizers import Tokenizer

from safety.disguises import LEET, STRETCHED, WORD, fold

LONGEST_WORD = 20
UNKNOWN_COST = 12.0
"""What a letter outside any word costs; a word costs the logarithm of its rank, 1 to 10."""
ONE_LETTER_WORDS = ("a", "i")
RUN = re.compile(r"(?<!\S)\S(?:[ .\-_*·|/]\S)+(?!\S)")
"""Characters one by one, with the same kind of gap between them: `n u d e`, `n-u-d-e`."""
SIGN_AS_LETTER = re.compile(r"^[@$!]\w|\w[@$!|€]\w")
MANY = 4
SHORT = 2
RARE_COST, COMMON_COST = 9.5, 6.0
"""What a listed word costs that the vocabulary lacks; and what a word of two letters may cost to be read out of digits."""
LEAST_DRESSED = 5
"""Letters of a word that is read out of digits though no list has it."""


@dataclass(frozen=True)
class Lexicon:
    """costs: of every word, the less the commoner."""

    costs: Mapping[str, float]

    @classmethod
    def of(cls, tokenizer: Tokenizer, also: Iterable[str] = ()) -> Self:
        """Take the whole words of a tokenizer's vocabulary, in its order. also: words that count though it lacks them."""
        common = cls.of_words(word for word, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))
        listed = {word: RARE_COST for word in also if len(word) > SHORT and word.isascii() and word.isalpha()}
        return cls({**listed, **common.costs})

    @classmethod
    def of_words(cls, words: Iterable[str]) -> Self:
        """Take words in order of frequency; letters alone count only where they are words."""
        kept = (word for word in words if word.isascii() and word.isalpha() and (len(word) > 1 or word in ONE_LETTER_WORDS))
        return cls({word: 1 + math.log1p(rank) for rank, word in enumerate(kept)})

    def split(self, letters: str) -> str:
        """Cut a run of letters into the likeliest words: the cut of least total cost, by Viterbi's algorithm."""
        best = [0.0]
        cut = [0]
        for end in range(1, len(letters) + 1):
            choices = [(best[end - 1] + UNKNOWN_COST, end - 1)]
            for start in range(max(0, end - LONGEST_WORD), end):
                cost = self.costs.get(letters[start:end])
                if cost is not None:
                    choices.append((best[start] + cost, start))
            least, start = min(choices)
            best.append(least)
            cut.append(start)
        words: list[str] = []
        end = len(letters)
        while end:
            words.append(letters[cut[end] : end])
            end = cut[end]
        return " ".join(reversed(words))

    def plain(self, text: str) -> str:
        """Read the text as plain words: disguises taken off wherever that gives words of the lexicon. `text`: folded."""
        joined = RUN.sub(self._joined, text)
        # A wider gap is one between words only where letters stand apart; elsewhere it is a gap as any other.
        return " ".join(word for chunk in joined.split() for word in self._chunk(chunk))

    def _joined(self, run: re.Match[str]) -> str:
        letters = "".join(WORD.findall(run.group().translate(LEET).replace("1", "i")))
        if len(letters) >= MANY:
            return self.split(letters)
        return letters if letters in self.costs else run.group()

    def _chunk(self, chunk: str) -> list[str]:
        """One word or several, of what stands between two spaces."""
        words = WORD.findall(chunk)
        is_number = not any(map(str.isalpha, chunk))
        if is_number or (all(word in self.costs for word in words) and not SIGN_AS_LETTER.search(chunk)):
            return words
        whole = "".join(words)
        readings = [chunk.translate(LEET).replace("1", one) for one in "il"]
        for candidate in (whole, *readings):
            bare = "".join(WORD.findall(candidate))
            for reading in (bare, STRETCHED.sub(r"\1", bare), STRETCHED.sub(r"\1\1", bare)):
                if reading in self.costs and (len(reading) > SHORT or self.costs[reading] <= COMMON_COST):
                    return [reading]
        likeliest = "".join(WORD.findall(readings[0]))
        return [likeliest] if _is_dressed(chunk, likeliest) else words


def _is_dressed(chunk: str, reading: str) -> bool:
    """True for a word with a few digits or signs in the place of letters: `mu5l1ms`, but not `1960s`."""
    letters = sum(character.isalpha() for character in chunk)
    return len(reading) >= LEAST_DRESSED and reading.isalpha() and len(reading) / 2 <= letters < len(reading)


def plain(text: str, lexicon: Lexicon) -> str:
    """Fold the text, then read it as plain words."""
    return lexicon.plain(fold(text))
