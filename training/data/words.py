"""The hand-written phrases of familiar concepts. emojibase's tags are no source of them: red apple bears "diet"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.errors import DataError

ARTICLE = re.compile(r"^(?:an?|the|some|two|half an?)\s+")


@dataclass(frozen=True)
class ObjectWords:
    """One object of a list: the sprite's name and the phrases that mean it, the usual one first."""

    name: str
    phrases: tuple[str, ...]

    @property
    def title(self) -> str:
        """The usual name without its article: "red apple"."""
        return bare(self.phrases[0])


def bare(phrase: str) -> str:
    """The phrase without its article."""
    return ARTICLE.sub("", phrase)


def read_objects(path: Path) -> tuple[ObjectWords, ...]:
    """An object list, `sprite-name: phrase, phrase, …` a line. Raises DataError where a line is wrong or a phrase means two."""
    objects = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not (text := line.split("#")[0].strip()):
            continue
        name, colon, rest = text.partition(":")
        phrases = tuple(phrase.strip() for phrase in rest.split(",") if phrase.strip())
        if not (colon and phrases):
            raise DataError(f"{path}, line {number}: want `sprite-name: phrase, phrase`, found {line!r}")
        objects.append(ObjectWords(name.strip(), phrases))
    _refuse_ambiguous(path, objects)
    return tuple(objects)


def _refuse_ambiguous(path: Path, objects: Sequence[ObjectWords]) -> None:
    meaning: dict[str, str] = {}
    for words in objects:
        for phrase in {bare(phrase) for phrase in words.phrases}:
            if (other := meaning.setdefault(phrase, words.name)) != words.name:
                raise DataError(f"{path}: {phrase!r} means both {other!r} and {words.name!r}")
    if len({words.name for words in objects}) != len(objects):
        raise DataError(f"{path}: a sprite is listed twice")
