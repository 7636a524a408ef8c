"""The cascade's own CLIP as a classifier: which of all names is a true picture nearest to (Radford et al. 2021, §3.1)?

What CLIP takes for another thing, z_i cannot tell the decoder, which then has the caption's words alone to go by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evals.quality.asked import Asked
from evals.quality.embeddings import CHUNK, rows_of, seen_alone
from evals.quality.exam import Exam
from evals.quality.lots import colourless
from evals.quality.pictures import SMALL_PX
from evals.quality.report import Figure, Report
from evals.quality.verdicts import AMONG
from evals.statistics import bootstrap
from models.clip.image import ImageTower
from models.clip.text import TextTower
from training.data import phrasing
from training.data.colours import colourable_rows
from training.data.compose import compose
from training.data.portraits import ALONE, COUNTED, WHITE
from training.data.scenes import Placed, Scene
from training.data.vocabulary import HeldOut, Vocabulary

Named = list[list[str]]
"""For each picture the likest groups of names, the likest first."""


@dataclass(frozen=True)
class Portrait:
    """A true picture of something that a list asks for, and what the caption of any other thing in its place would be."""

    concept: str
    scene: Scene
    kind: str
    """Pictures of one kind have the same captions to choose from."""


def zero_shot(exam: Exam) -> Report:
    """Sprites that no training showed, pairs of concept and style that were held out, and the same concepts in other styles,
    among the names of all concepts; familiar things in a colour, and two to five of one, among the same of all familiar things.

    A name is right that means the concept or one of its look-alikes, as the judges group them; each group counts once.
    """
    tower, vocabulary = ImageTower.load(exam.pictures.model_dir, exam.pictures.device), Vocabulary(exam.bank.infos)
    figures = _sprites(exam, tower, vocabulary)
    for name, title, choose, word in (
        ("colours", "familiar things in a colour", coloured, _in_colour),
        ("counts", "two to five of a familiar thing", counted, _so_many),
    ):
        portraits = list(choose(exam, exam.asked(name), vocabulary))
        named = _among_familiar(exam, tower, vocabulary, portraits, word)
        figures += _figures(exam, title, named, [portrait.concept for portrait in portraits])
    return exam.report("zero-shot", figures)


def _sprites(exam: Exam, tower: ImageTower, vocabulary: Vocabulary) -> list[Figure]:
    concepts, own, held_out = vocabulary.concepts, rows_of(exam.bank), HeldOut.read().styles
    z_t = encode(exam.pictures.cascade.text, [concept.nouns[0] for concept in concepts.values()])
    groups = [exam.judges.group(name) for name in concepts]
    chosen = [pair for pair in own if pair in held_out]
    concerned = {concept for concept, _ in chosen}
    seen = [pair for pair in own if pair[0] in concerned and pair not in held_out]
    figures = []
    for title, pairs in (("held-out sprites", chosen), ("the same concepts in other styles", seen)):
        z_i = seen_alone([own[pair] for pair in pairs], exam.bank, tower, exam.pictures.device)
        figures += _figures(exam, title, named_first(z_i, z_t, groups, AMONG), [concept for concept, _ in pairs])
    return figures


def _figures(exam: Exam, title: str, named: Named, concepts: Sequence[str]) -> list[Figure]:
    right = [
        [exam.judges.group(concept) in names[:among] for names, concept in zip(named, concepts, strict=True)]
        for among in (1, AMONG)
    ]
    return [
        Figure(f"CLIP: {title}, named first", bootstrap(right[0])),
        Figure(f"CLIP: {title}, named among the first {AMONG}", bootstrap(right[1])),
    ]


def coloured(exam: Exam, asked: Sequence[Asked], vocabulary: Vocabulary) -> Iterator[Portrait]:
    """Each asked thing in its colour, by the first of its sprites that takes one, where one does."""
    able = colourable_rows(exam.bank.levels)
    for one in asked:
        concept = vocabulary[one.concepts[0]]
        for row in [row for rows in concept.rows.values() for row, _ in rows if row in able][:1]:
            placed = Placed(row, concept.name, one.colour, *ALONE)
            yield Portrait(concept.name, Scene((placed,), WHITE, "", None, None, ""), one.colour or "")


def counted(exam: Exam, asked: Sequence[Asked], vocabulary: Vocabulary) -> Iterator[Portrait]:
    """Each asked thing as often as it is asked for, where that is more than once."""
    for one in asked:
        if one.count is not None and one.count in COUNTED:
            concept = vocabulary[one.concepts[0]]
            row = next(iter(concept.rows.values()))[0][0]
            placed = tuple(Placed(row, concept.name, None, *at) for at in COUNTED[one.count])
            yield Portrait(concept.name, Scene(placed, WHITE, "", None, one.count, ""), str(one.count))


def _among_familiar(
    exam: Exam, tower: ImageTower, vocabulary: Vocabulary, portraits: Sequence[Portrait], word: Callable[[str, str], str]
) -> Named:
    """word: from a kind and a noun to a caption."""
    text, groups = exam.pictures.cascade.text, [exam.judges.group(concept.name) for concept in vocabulary.familiar]
    z_t: Mapping[str, Tensor] = {
        kind: encode(text, [word(kind, concept.nouns[0]) for concept in vocabulary.familiar])
        for kind in {portrait.kind for portrait in portraits}
    }
    named: Named = []
    for start in range(0, len(portraits), CHUNK):
        part = portraits[start : start + CHUNK]
        pixels = compose([portrait.scene for portrait in part], exam.bank, SMALL_PX).pixels
        for portrait, z_i in zip(part, tower.encode(pixels.to(exam.pictures.device)), strict=True):
            named += named_first(z_i[None], z_t[portrait.kind], groups, AMONG)
    return named


def _in_colour(colour: str, noun: str) -> str:
    return phrasing.with_article(f"{colour} {colourless(noun)}")


def _so_many(count: str, noun: str) -> str:
    return phrasing.counted_phrase(noun, None, int(count))


def encode(text: TextTower, captions: Sequence[str]) -> Tensor:
    """z_t (N, D) of captions."""
    return torch.cat([text.encode(list(captions[at : at + CHUNK])).embeds for at in range(0, len(captions), CHUNK)])


def named_first(z_i: Tensor, z_t: Tensor, groups: Sequence[str], count: int) -> Named:
    """The `count` groups with the names most like each z_i. z_i: (N, D). z_t: (names, D), all of one norm."""
    order = (z_i @ z_t.T).argsort(dim=1, descending=True).tolist()
    return [list(dict.fromkeys(groups[at] for at in row))[:count] for row in order]
