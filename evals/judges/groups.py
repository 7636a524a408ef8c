"""Which concepts count as one: names that differ in gender, skin tone or colour alone, and sprites too alike to be told apart.

`derive` makes the table from the sprites; the judges are trained on and answer in the committed one (`groups.json`).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch.nn.functional import normalize

from training.data.labels import TONE_SUFFIX, SpriteInfo, plain_points
from training.data.sprite_bank import SpriteBank

TABLE = Path(__file__).with_name("groups.json")
ALIKE = 0.97
"""Mean correlation of two concepts' sprites, over the styles that draw both, from which they count as one."""
LEVEL_PX = 32

TONE = re.compile(r"-(?:medium-light|medium-dark|light|medium|dark)-skin-tone")
LOOKS = re.compile(r"-(?:facing-right|bald|beard|red-hair|curly-hair|white-hair|blonde?-hair)")
PERSON = re.compile(r"^(?:man|woman|person|men|women|people)(?:-(.+))?$")
COLOUR_OR_SIZE = re.compile(
    r"^(?:light-blue|red|orange|yellow|green|blue|purple|pink|brown|black|white|grey|large|medium-small|medium|small)$"
)
TOKEN = re.compile(r"light-blue|medium-small|[^-]+")
KINDS = ("family", "couple-with-heart", "kiss", "pregnant")
SYNONYMS = {
    "boy": "child", "girl": "child", "old-man": "older-person", "old-woman": "older-person", "mermaid": "merperson",
    "merman": "merperson", "person-merpeople": "merperson", "mrs-claus": "santa-claus", "mx-claus": "santa-claus",
    "prince": "princess", "deaf-man": "person-deaf", "deaf-woman": "person-deaf", "deaf-person": "person-deaf",
    "woman-and-man-holding-hands": "people-holding-hands", "person-holding-hands": "people-holding-hands",
    "closed-book": "book", "heart-suit": "heart", "piata": "pinata", "record-button": "stop-button",
}  # fmt: skip
DIFFERENT = frozenset({"red-envelope", "small-airplane", "black-cat", "black-nib"})
"""Whose colour or size makes another thing of them."""


class Groups:
    """The committed table. Concepts that it does not list are groups of their own."""

    def __init__(self, table: Mapping[str, str]) -> None:
        """table: every concept that the judges know → its group."""
        self._table = dict(table)
        self.names = tuple(sorted(set(self._table.values())))
        self._places = {name: place for place, name in enumerate(self.names)}

    @classmethod
    def read(cls, path: Path = TABLE) -> Groups:
        """Read `{group: [concept, …]}`."""
        table = json.loads(path.read_text(encoding="utf-8"))
        return cls({concept: group for group, concepts in table.items() for concept in concepts})

    @property
    def concepts(self) -> int:
        """How many concepts there are."""
        return len(self._table)

    def of(self, concept: str) -> str:
        """The group of a concept. Raises KeyError for one that the judges never learned."""
        return self._table[concept]

    def knows(self, concept: str) -> bool:
        """Whether the judges learn this concept."""
        return concept in self._table

    def index(self, concept: str) -> int:
        """The place of its group in `names`."""
        return self._places[self._table[concept]]

    def write(self, path: Path) -> None:
        """One group a line, so that a change of one group is a change of one line."""
        members: dict[str, list[str]] = defaultdict(list)
        for concept, group in sorted(self._table.items()):
            members[group].append(concept)
        lines = [f"{json.dumps(group)}: {json.dumps(concepts)}" for group, concepts in sorted(members.items())]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def derive(bank: SpriteBank) -> Groups:
    """Group by name, by code points and by looks; everything that emojibase does not know is left out."""
    infos = {info.base: info for info in bank.infos if info.group is not None}
    union = _Union(infos)
    spoken = {name: by_name(info, infos) for name, info in infos.items()}
    colourless = {name: _without_colour(word) for name, word in spoken.items()}
    shared = Counter(colourless.values())
    words = {name: colourless[name] if shared[colourless[name]] > 1 else spoken[name] for name in infos}
    union.join_equal(words)
    union.join_equal({info.base: _points(info) for info in infos.values() if info.codepoints})
    for one, other in look_alikes(bank):
        union.join(one, other)
    titles = {root: _title(members, words) for root, members in union.members().items()}
    return Groups({name: titles[union.root(name)] for name in infos})


def by_name(info: SpriteInfo, concepts: Iterable[str] = ()) -> str:
    """What is left of a concept's name without the hour, the country, gender, skin, hair and direction."""
    name = info.base
    if name.endswith(("-oclock", "-thirty")):
        return "clock-face"
    if info.group == "flags" and name.startswith("flag-"):
        return "flag"
    if info.group == "animals-nature" and name.endswith("-face") and name.removesuffix("-face") in concepts:
        return name.removesuffix("-face")  # "a cat" means either drawing
    if info.group != "people-body":
        return SYNONYMS.get(name, name)
    if kind := next((kind for kind in KINDS if re.match(rf"{kind}(?:-|$)", name)), None):
        return "pregnant-person" if kind == "pregnant" else kind
    name = LOOKS.sub("", TONE.sub("", TONE_SUFFIX.sub("", name) if "skin-tone" in name else name))
    if name not in SYNONYMS and (person := PERSON.match(name)):
        deed = person.group(1)
        name = "person" if deed is None else deed if deed in concepts else f"person-{deed}"
    return SYNONYMS.get(name, name)


def look_alikes(bank: SpriteBank) -> list[tuple[str, str]]:
    """Pairs of concepts of one emojibase group whose sprites correlate by `ALIKE` or more on average over shared styles."""
    total: dict[tuple[str, str], float] = defaultdict(float)
    styles: dict[str, set[str]] = defaultdict(set)
    for style in dict.fromkeys(info.style for info in bank.infos):
        first = _plainest(bank.infos, style)
        names = list(first)
        rgba = bank.levels[LEVEL_PX][list(first.values())].float() / 255 if first else torch.zeros(0, 4, 1, 1)
        # Over grey, so that black and white shapes count alike; the outline counts as much as a colour.
        flat = torch.cat([rgba[:, :3] - rgba[:, 3:] / 2, rgba[:, 3:] / 2], 1).flatten(1)
        correlation = normalize(flat, dim=1) @ normalize(flat, dim=1).mT
        for name in names:
            styles[name].add(style)
        for one, other in (torch.triu(correlation, 1) > 2 * ALIKE - 1).nonzero().tolist():
            total[names[one], names[other]] += float(correlation[one, other])
    groups = {info.base: info.group for info in bank.infos}
    return [
        pair for pair, value in total.items()
        if groups[pair[0]] == groups[pair[1]] and value >= ALIKE * len(styles[pair[0]] & styles[pair[1]])
    ]  # fmt: skip


def _plainest(infos: Sequence[SpriteInfo], style: str) -> dict[str, int]:
    """One row for each concept of a style, the one without a skin tone where there is one."""
    rows: dict[str, int] = {}
    for row, info in enumerate(infos):
        if info.style == style and info.group is not None and (info.base not in rows or not info.skin_tone):
            rows[info.base] = row
    return dict(sorted(rows.items()))


def _without_colour(name: str) -> str:
    if name in DIFFERENT:
        return name
    return "-".join(token for token in TOKEN.findall(name) if not COLOUR_OR_SIZE.match(token)) or name


def _points(info: SpriteInfo) -> str:
    points = plain_points(info.codepoints or "").split("-")
    return "-".join(point for point in points if not 0x1F3FB <= int(point, 16) <= 0x1F3FF)


def _title(members: Sequence[str], words: Mapping[str, str]) -> str:
    """The commonest word for them; of several, the shortest."""
    counts = Counter(words[name] for name in members)
    return min(counts, key=lambda word: (-counts[word], len(word), word))


class _Union:
    """Union-find over names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def root(self, name: str) -> str:
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def join(self, one: str, other: str) -> None:
        self._parent[self.root(one)] = self.root(other)

    def join_equal(self, keys: Mapping[str, str]) -> None:
        """Join all names with the same key."""
        first: dict[str, str] = {}
        for name, key in keys.items():
            self.join(name, first.setdefault(key, name))

    def members(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name in self._parent:
            found[self.root(name)].append(name)
        return found
