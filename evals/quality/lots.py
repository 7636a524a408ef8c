"""`unclip eval lists`: draws the prompt lists by lot from what the sprites show and what was held out of training.

The lists are committed; this is how they came to be, and how to make them anew where the data change. `phrases` is not drawn
here but written by hand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from evals.quality.asked import LISTS, Asked, write_list
from training.data import phrasing
from training.data.labels import SpriteInfo
from training.data.scene_maker import SceneMaker
from training.data.scenes import BACKDROPS, COLOURS, PATTERNS, PLAIN_COLOURS, RELATIONS, Backdrop
from training.data.vocabulary import Concept, HeldOut

IN_STYLES = 3
"""A name is asked for where at least so many of the five styles show it."""
NAMES, COPIES, CAPTIONS, SAMPLES = 500, 100, 1_000, 64
EACH_COLOUR, EACH_COUNT, EACH_RELATION, EACH_BACKDROP = 20, 30, 20, 6


class Lots:
    """All lists over one sprite bank. colourable: the bank's rows that take a colour."""

    def __init__(self, infos: Sequence[SpriteInfo], held_out: HeldOut, colourable: Container[int]) -> None:
        self.infos, self.held_out, self.colourable = infos, held_out, colourable
        self.maker = SceneMaker(infos, held_out, colourable=colourable)
        concepts = self.maker.vocabulary.everyday
        self.everyday = [concept for concept in concepts if len(concept.rows) >= IN_STYLES]
        self.single = [c for c in self.maker.vocabulary.familiar if len(c.rows) >= IN_STYLES and is_one(c.nouns[0])]

    def write(self, folder: Path = LISTS) -> dict[str, int]:
        """Draw and write every list; the same data give the same lists. Returns how long each is."""
        makers: dict[str, tuple[str, Callable[[random.Random], list[Asked]]]] = {
            "objects": ("names from the everyday groups (animals, food, travel, activities, objects)", self.objects),
            "familiar": ("the objects that training shows most, by their usual names", self.familiar),
            "styles": ("every (concept, style) pair that was held out of training, asked for by both", self.styles),
            "colours": ("familiar objects in a colour", self.colours),
            "counts": ("one to five of a familiar object", self.counts),
            "relations": ("pairs whose concepts also stand in `held-out-relations`, in other pairs", self.relations),
            "held-out-relations": ("pairs that stood in no relation in training", self.held_out_relations),
            "backdrops": ("familiar objects on a backdrop", self.backdrops),
            "captions": ("captions of chance scenes, in wordings that training never used", self.captions),
            "copies": ("names from the everyday groups, on white, where pixels can be compared", self.copies),
            "samples": ("captions of chance scenes, in all wordings", self.samples),
        }  # fmt: skip
        lengths = {}
        for name, (what, draw) in makers.items():
            asked = draw(random.Random(name))
            write_list(name, f"{len(asked)} prompts: {what}. Drawn by lot.", asked, folder)
            lengths[name] = len(asked)
        return lengths

    def objects(self, rng: random.Random) -> list[Asked]:
        """Bare names; a name that means several concepts asks for any of them."""
        return [self._ask(c.nouns[0], rng, self._all_called(c.nouns[0])) for c in self._some(NAMES, rng)]

    def familiar(self, rng: random.Random) -> list[Asked]:
        """All concepts with hand-written phrases."""
        return [self._ask(c.nouns[0], rng, self._all_called(c.nouns[0])) for c in self.maker.vocabulary.familiar]

    def styles(self, rng: random.Random) -> list[Asked]:
        """In wordings that name the style, as training's captions do of other concepts."""
        asked = []
        for name, style in sorted(self.held_out.styles):
            subject = phrasing.with_article(self.maker.vocabulary[name].nouns[0])
            prompt = phrasing.frame(subject, "", style, self.maker.templates, rng)
            asked.append(self._ask(prompt, rng, (name,), style=style))
        return shuffled(asked, rng)

    def colours(self, rng: random.Random) -> list[Asked]:
        """Of concepts whose sprites take a colour, in most styles."""
        able = [c for c in self.single if sum(self._takes_colour(c, style) for style in c.rows) >= IN_STYLES]
        asked = []
        for colour in COLOURS:
            for concept in rng.sample(able, EACH_COLOUR):
                noun = colourless(concept.nouns[0])
                asked.append(self._ask(phrasing.with_article(f"{colour} {noun}"), rng, (concept.name,), colour=colour))
        return shuffled(asked, rng)

    def counts(self, rng: random.Random) -> list[Asked]:
        """One is asked for by the article."""
        asked = []
        for count in range(1, len(phrasing.COUNTS)):
            for concept in rng.sample(self.single, EACH_COUNT):
                noun = concept.nouns[0]
                prompt = phrasing.with_article(noun) if count == 1 else phrasing.counted_phrase(noun, None, count)
                asked.append(self._ask(prompt, rng, (concept.name,), count=count))
        return shuffled(asked, rng)

    def relations(self, rng: random.Random) -> list[Asked]:
        """The same concepts as in the held-out pairs, paired anew."""
        pairs: list[tuple[Concept, Concept]] = []
        names = sorted({name for pair in self._held_out_pairs() for name in pair})
        while len(pairs) < EACH_RELATION * len(RELATIONS):
            first, other = rng.sample(names, 2)
            if frozenset((first, other)) not in self.held_out.relations:
                pairs.append((self.maker.vocabulary[first], self.maker.vocabulary[other]))
        return self._related(pairs, rng)

    def held_out_relations(self, rng: random.Random) -> list[Asked]:
        """The held-out pairs, either way round."""
        held_out = [rng.sample(pair, 2) for pair in self._held_out_pairs()]
        rng.shuffle(held_out)
        wanted = EACH_RELATION * len(RELATIONS)
        chosen = (held_out * (wanted // len(held_out) + 1))[:wanted]
        return self._related([(self.maker.vocabulary[a], self.maker.vocabulary[b]) for a, b in chosen], rng)

    def backdrops(self, rng: random.Random) -> list[Asked]:
        """Every plain colour, pattern and scenery."""
        asked = []
        for kind in (*(f"plain {colour}" for colour in PLAIN_COLOURS), *BACKDROPS[1:]):
            for concept in rng.sample(self.single, EACH_BACKDROP):
                backdrop = _backdrop(kind, rng)
                behind = ""
                while not behind:  # what is said of white is mostly nothing
                    behind = phrasing.backdrop_phrase(backdrop, rng)
                subject = phrasing.with_article(concept.nouns[0])
                asked.append(self._ask(subject + behind, rng, (concept.name,), backdrop=kind))
        return shuffled(asked, rng)

    def captions(self, rng: random.Random) -> list[Asked]:
        """By the held-out templates alone, each caption once."""
        maker = SceneMaker(self.infos, self.held_out, colourable=self.colourable)
        maker.templates = sorted(self.held_out.templates)
        return self._captions(maker, CAPTIONS, rng)

    def copies(self, rng: random.Random) -> list[Asked]:
        """One object alone."""
        return [
            self._ask(phrasing.with_article(c.nouns[0]) + " on a white background", rng, (c.name,))
            for c in self._some(COPIES, rng)
        ]

    def samples(self, rng: random.Random) -> list[Asked]:
        """As training's captions are."""
        return self._captions(self.maker, SAMPLES, rng)

    def _some(self, count: int, rng: random.Random) -> list[Concept]:
        """Concepts whose usual nouns differ."""
        by_noun = {concept.nouns[0]: concept for concept in self.everyday}
        return rng.sample(list(by_noun.values()), count)

    def _all_called(self, noun: str) -> tuple[str, ...]:
        return tuple(concept.name for concept in self.maker.vocabulary.concepts.values() if noun in concept.nouns)

    def _takes_colour(self, concept: Concept, style: str) -> bool:
        return any(row in self.colourable for row, _ in concept.rows[style])

    def _held_out_pairs(self) -> list[tuple[str, ...]]:
        return sorted(tuple(sorted(pair)) for pair in self.held_out.relations)

    def _related(self, pairs: Sequence[tuple[Concept, Concept]], rng: random.Random) -> list[Asked]:
        asked = []
        for number, (first, other) in enumerate(pairs):
            relation = RELATIONS[number % len(RELATIONS)]
            said = [phrasing.with_article(concept.nouns[0]) for concept in (first, other)]
            prompt = f"{said[0]} {phrasing.RELATION_WORDS[relation][0]} {said[1]}"
            asked.append(self._ask(prompt, rng, (first.name,), relation=relation, other=other.name))
        return shuffled(asked, rng)

    def _captions(self, maker: SceneMaker, count: int, rng: random.Random) -> list[Asked]:
        said: dict[str, None] = {}
        while len(said) < count:
            said[maker.draw(rng).caption] = None
        return [self._ask(caption, rng) for caption in said]

    def _ask(self, prompt: str, rng: random.Random, concepts: tuple[str, ...] = (), **wanted: str | int) -> Asked:
        return Asked(prompt, rng.randrange(2**32), concepts, **wanted)  # type: ignore[arg-type]


def is_one(noun: str) -> bool:
    """A noun for one thing: "apple", not "cherries" or "scissors"."""
    return phrasing.with_article(noun) != noun


def colourless(noun: str) -> str:
    """ "red apple" → "apple"."""
    return " ".join(word for word in noun.split() if word not in phrasing.COLOUR_WORDS) or noun


def shuffled(asked: list[Asked], rng: random.Random) -> list[Asked]:
    """In chance order, so that the head of a list is a sample of it."""
    rng.shuffle(asked)
    return asked


def _backdrop(kind: str, rng: random.Random) -> Backdrop:
    if kind.startswith("plain "):
        return Backdrop("plain", (kind.removeprefix("plain "),))
    if kind in PATTERNS:
        first, second = rng.sample(PLAIN_COLOURS, 2)
        return Backdrop(kind, (first, second))
    return Backdrop(kind, ())
