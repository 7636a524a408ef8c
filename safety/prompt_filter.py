"""The prompt filter: refuses prompts by the words in them and by what they mean, after undoing the usual disguises.

Three steps: disguises are taken off and other languages' words read as English; word lists, one a category of OpenAI's
moderation (`terms/README.md`); a classifier over a sentence embedding, where its tower is at hand. A listed word is refused,
but for those with an everyday meaning where the classifier finds the plain English sentence around them harmless.
docs/safety.md has the figures, and what gets through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

from safety.disguises import WORD, fold, readings
from safety.glossary import Glossary
from safety.policy import ALWAYS, CATEGORIES, Policy
from safety.vocabulary import GAP, Vocabulary

if TYPE_CHECKING:
    from safety.semantic.classifier import Classifier
    from safety.semantic.lexicon import Lexicon

__all__ = ["CATEGORIES", "PromptFilter", "Verdict"]

YEARS = ("year", "years", "yr", "yrs", "yo")
ADULT_AGE = 18
FILE_NAME = str.maketrans("/-", "__")
"""The file of the category `a/b-c` is `a_b_c.txt`."""
LISTED = 1.0
"""The score of a listed word."""
SOMETHING = "something"
"""What stands for a harmless phrase when the classifier reads the prompt."""


@dataclass(frozen=True)
class Verdict:
    """What was found. `categories`: in the order of CATEGORIES; `matches`: the words that led there, for the log.

    `scores`: of every category, 0 harmless to 1; a listed word is 1.
    """

    categories: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """True when nothing was found."""
        return not self.categories


@dataclass(frozen=True)
class PromptFilter:
    """Terms by category. Words in `benign` phrases count for nothing; `suggestive` ones only beside a `minors` word.

    ambiguous: terms that have a harmless meaning too; in a plain English sentence the classifier may excuse them.
    classifier, lexicon: None for the word lists alone.
    """

    terms: Mapping[str, Vocabulary]
    benign: Vocabulary
    minors: Vocabulary
    suggestive: Vocabulary
    ambiguous: Vocabulary
    hashes: frozenset[str]
    glossary: Glossary
    policy: Policy = field(default_factory=Policy)
    classifier: Classifier | None = None
    lexicon: Lexicon | None = None

    @classmethod
    def load(cls, tower_folder: Path | None = None, policy: Policy | None = None) -> Self:
        """Read the word lists that ship with the package, and the classifier if its tower's model folder is named.

        Raises OSError if a list is missing, TowerMissing if the tower is: a filter without its parts is none.
        """
        lists = {category: Vocabulary.of(_lines(category.translate(FILE_NAME))) for category in CATEGORIES}
        benign, minors, suggestive, ambiguous = (
            Vocabulary.of(_lines(name)) for name in ("benign", "minors", "suggestive", "ambiguous")
        )
        classifier = lexicon = None
        if tower_folder is not None:
            from safety.semantic.classifier import Classifier
            from safety.semantic.lexicon import Lexicon
            from safety.semantic.tower import SentenceTower

            tower = SentenceTower.load(tower_folder)
            words = set().union(*(each.words for each in (*lists.values(), minors, suggestive)))
            classifier, lexicon = Classifier.load(tower), Lexicon.of(tower.tokenizer, words)
        return cls(
            terms=lists,
            benign=benign,
            minors=minors,
            suggestive=suggestive,
            ambiguous=ambiguous,
            hashes=frozenset(_lines("hate_hashed")),
            glossary=Glossary.load(),
            policy=policy or Policy(),
            classifier=classifier,
            lexicon=lexicon,
        )

    def check(self, prompt: str) -> Verdict:
        """Return the verdict on one prompt, whatever the text. Raises what a broken classifier raises."""
        found = self._listed(self._readings(prompt))
        scores = dict.fromkeys(CATEGORIES, 0.0)
        thresholds: dict[str, float] = {}
        if self.classifier is not None:
            meaning = self.meaning(prompt)
            scores = self.classifier.scores(meaning)
            thresholds = {**self.classifier.thresholds, **self.policy.thresholds}
            # What it has not read it cannot excuse.
            for category in self._excusable(prompt, found) if self.classifier.reads_whole(meaning) else ():
                # The operator's threshold may make this stricter; it is no way round the lists.
                least = min(thresholds[category], self.classifier.thresholds[category])
                scores[category] = self.classifier.beside_listed(scores[category])
                if scores[category] < least:
                    found[category] = set()
        scores |= {category: LISTED for category in CATEGORIES if found[category]}
        refused = [
            category
            for category in self.policy.categories
            if found[category] or scores[category] >= thresholds.get(category, LISTED)
        ]
        return Verdict(
            categories=tuple(refused),
            matches=tuple(sorted(set().union(*(found[category] for category in refused)))),
            scores={category: round(score, 4) for category, score in scores.items()},
        )

    def _excusable(self, prompt: str, found: Mapping[str, set[str]]) -> list[str]:
        """The categories whose every listed word is ambiguous and stands undisguised in an English sentence.

        Never what is said of minors, nor what somebody took pains to hide, nor a word alone.
        """
        folded = fold(prompt)
        if self.glossary.read(folded) != folded:
            return []
        words = " ".join(WORD.findall(folded))
        plain = self._listed([words])
        return [
            category
            for category in CATEGORIES
            if category != ALWAYS
            and found[category]
            and found[category] <= plain[category] - {words}
            and all(self.ambiguous.lists(word, len(word.split())) for word in found[category])
        ]

    def _listed(self, texts: Iterable[str]) -> dict[str, set[str]]:
        """The listed words of some readings of a prompt, by category."""
        found: dict[str, set[str]] = {category: set() for category in CATEGORIES}
        for reading in texts:
            for category, words in self._found(self.benign.without(reading.split())):
                found[category] |= words
        return found

    def meaning(self, prompt: str, lexicon: Lexicon | None = None) -> list[str]:
        """The plain words that the classifier reads: undisguised, in English, with harmless phrases taken out."""
        glossed = self.glossary.read(fold(prompt))
        lexicon = lexicon or self.lexicon
        words = lexicon.plain(glossed).split() if lexicon else glossed.split()
        return [SOMETHING if word == GAP else word for word in self.benign.without(words)]

    def _readings(self, prompt: str) -> set[str]:
        """Every way the prompt may be meant, each as lower-case words with one space between."""
        found = set(readings(prompt, self._is_listed))
        glossed = self.glossary.read(fold(prompt))
        if glossed != fold(prompt):
            found |= readings(glossed, self._is_listed)
        if self.lexicon is not None:
            found.add(self.lexicon.plain(glossed))
        return found

    def _found(self, words: Sequence[str]) -> Iterator[tuple[str, set[str]]]:
        """Yield each category with the words of it in one reading of the prompt."""
        for category, vocabulary in self.terms.items():
            yield category, vocabulary.find(words)
        yield "hate", {f"sha256:{_digest(word)}" for word in words if _digest(word) in self.hashes}
        sexual = self.terms["sexual"].find(words) | self.suggestive.find(words)
        young = self.minors.find(words) | _young_ages(words)
        yield "sexual/minors", sexual | young if sexual and young else set()

    def _is_listed(self, word: str) -> bool:
        return any(vocabulary.lists(word) for vocabulary in self.terms.values()) or _digest(word) in self.hashes


def _lines(name: str) -> list[str]:
    text = (files("safety") / "terms" / f"{name}.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _young_ages(words: Sequence[str]) -> set[str]:
    """Find ages below eighteen: `12 years old`, `9 yo`."""
    pairs = pairwise(words)
    return {
        f"{age} {unit}" for age, unit in pairs if unit in YEARS and age.isdecimal() and len(age) < 4 and int(age) < ADULT_AGE
    }


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()
