"""From what a scene shows to a caption, in many wordings, from one word to a whole sentence."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import inflect

from training.data.scenes import COLOURS, PLAIN_COLOURS, Backdrop, Placed
from training.data.vocabulary import Concept

STYLE_WORDS = {"flat": "flat", "fluent": "glossy", "3d": "3D", "noto": "Noto style", "twemoji": "Twemoji style"}

TEMPLATES: tuple[str, ...] = (
    "{subject}{behind}",
    "a picture of {subject}{behind}",
    "an image showing {subject}{behind}",
    "an emoji of {subject}{behind}",
    "a drawing of {subject}{behind}",
    "an illustration of {subject}{behind}",
    "please draw {subject}{behind}",
    "this shows {subject}{behind}",
    "{subject}, digital art{behind}",
    "i would like to see {subject}{behind}",
    "there is {subject}{behind} in this picture",
    "a small artwork with {subject}{behind}",
)
STYLED_TEMPLATES: tuple[str, ...] = (
    "{subject}{behind}, {style}",
    "{a_style} {kind} of {subject}{behind}",
    "{style} {subject}{behind}",
    "{subject} as {a_style} emoji{behind}",
    "{a_kind} of {subject}{behind}, {style}",
    "{style} emoji: {subject}{behind}",
    "{subject} drawn in the {style} manner{behind}",
)
"""{style} is one of `STYLE_WORDS`, {kind} a word for a picture, {behind} the backdrop's phrase or nothing."""

COLOUR_WORDS = frozenset((*COLOURS, *PLAIN_COLOURS, "brown"))
KINDS = ("picture", "emoji", "icon", "drawing", "rendering")
COUNTS = ("zero", "one", "two", "three", "four", "five")
BEHIND = (" on {a_colour} background", " against {a_colour} background", " with {a_colour} backdrop")
RELATION_WORDS = {
    "left of": ("to the left of", "left of", "on the left side of"),
    "right of": ("to the right of", "right of", "on the right side of"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
    "on": ("on", "on top of", "standing on"),
    "inside": ("inside", "in", "within"),
}
SCENERY_WORDS = {
    "meadow": ("in a meadow", "on green grass", "on a green field"),
    "beach": ("on a beach", "at the beach", "on the sand by the sea"),
    "night": ("at night", "under the stars", "in the night sky"),
    "snow": ("in the snow", "in winter", "on a snowy day"),
    "sea": ("at sea", "on the water", "in the sea"),
    "desert": ("in a desert", "in the desert", "among sand dunes"),
}
TONE_WORDS = {tone: f"{tone} skin" for tone in ("light", "medium-light", "medium", "medium-dark", "dark")}


@cache
def _english() -> inflect.engine:
    return inflect.engine()


@cache
def plural(noun: str) -> str:
    """Several of it: "slice of pizza" → "slices of pizza"."""
    return _english().plural_noun(noun) or f"{noun}s"


@cache
def with_article(phrase: str) -> str:
    """With "a" or "an": "umbrella" → "an umbrella"; what is already several stays bare."""
    return phrase if _english().singular_noun(phrase.split(" of ", maxsplit=1)[0]) else str(_english().a(phrase))


@cache
def _a(words: str) -> str:
    return str(_english().a(words))


def noun_phrase(noun: str, placed: Placed, tones: Sequence[str] | None, *, size: str | None = None) -> str:
    """One object with its article: "a small red car", "a firefighter with dark skin"."""
    words = " ".join(word for word in (size, placed.colour, noun) if word)
    skin = " and ".join(dict.fromkeys(TONE_WORDS[tone] for tone in tones)) if tones else ""
    return with_article(words) + (f" with {skin}" if skin else "")


def counted_phrase(noun: str, colour: str | None, count: int) -> str:
    """Several equal objects: "three blue cars"."""
    return " ".join(word for word in (COUNTS[count], colour, plural(noun)) if word)


def choose_noun(concept: Concept, rng: random.Random, *, is_recoloured: bool = False) -> str:
    """The usual noun mostly, another of its nouns at times, a rare word seldom; no "red apple" for one that was made blue."""
    if concept.rare and rng.random() < 0.06:
        return rng.choice(concept.rare)
    nouns = concept.nouns
    if is_recoloured:
        nouns = tuple(dict.fromkeys(" ".join(w for w in noun.split() if w not in COLOUR_WORDS) or noun for noun in nouns))
    return nouns[0] if rng.random() < 0.5 else rng.choice(nouns)


def object_phrase(concept: Concept, placed: Placed, rng: random.Random, *, size: str | None = None) -> str:
    """One object of a scene by one of its nouns, mostly with its skin tones where its sprite is one of several."""
    noun = choose_noun(concept, rng, is_recoloured=placed.colour is not None)
    tones = next((tones for rows in concept.rows.values() for row, tones in rows if row == placed.sprite), None)
    return noun_phrase(noun, placed, tones if rng.random() < 0.8 else None, size=size)


def related_phrase(first: str, relation: str, second: str, rng: random.Random) -> str:
    """Two objects: "a cat to the left of a tree"."""
    return f"{first} {rng.choice(RELATION_WORDS[relation])} {second}"


def backdrop_phrase(backdrop: Backdrop, rng: random.Random) -> str:
    """What is said of the backdrop, with a blank before it; nothing, mostly, of white and at times of others."""
    if rng.random() < (0.9 if backdrop.colours == ("white",) else 0.12):
        return ""
    if backdrop.kind in SCENERY_WORDS:
        return " " + rng.choice(SCENERY_WORDS[backdrop.kind])
    return rng.choice(BEHIND).format(a_colour=_a(backdrop_words(backdrop)))


def backdrop_words(backdrop: Backdrop) -> str:
    """ "blue", "blue and white striped", "blue to white gradient"."""
    if backdrop.kind == "plain":
        return backdrop.colours[0]
    first, second = backdrop.colours
    if backdrop.kind == "gradient":
        return f"{first} to {second} gradient"
    return f"{first} and {second} " + {"stripes": "striped", "dots": "dotted", "checks": "checked"}[backdrop.kind]


def frame(subject: str, backdrop: str, style: str | None, templates: Sequence[str], rng: random.Random) -> str:
    """The whole caption. style: a key of `STYLE_WORDS` where the caption names it."""
    if style is None:
        return rng.choice([t for t in templates if "style}" not in t]).format(subject=subject, behind=backdrop)
    words, kind = STYLE_WORDS[style], rng.choice(KINDS)
    template = rng.choice([t for t in templates if "style}" in t])
    return template.format(subject=subject, behind=backdrop, style=words, a_style=_a(words), kind=kind, a_kind=_a(kind))
