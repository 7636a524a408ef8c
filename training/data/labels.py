"""What a sprite is called: icon name → code points → emojibase's label, tags, group, gender and skin tone."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
GENDERS = {0: "female", 1: "male"}
TONE_SUFFIX = re.compile(r"(?:-(?:medium-light|medium-dark|light|medium|dark)(?:-skin-tone)?|-tone[1-5])+$")


@dataclass(frozen=True)
class SpriteInfo:
    """All that is known of one sprite without looking at it.

    name: the icon's name, unique within the style. base: `name` without its skin tones. also: names of icons that draw
    exactly the same pixels. codepoints: lower-case hex joined by dashes, or None where the set has an icon of its own.
    """

    name: str
    base: str
    label: str
    tags: tuple[str, ...]
    codepoints: str | None
    group: str | None
    gender: str | None
    skin_tone: tuple[str, ...] | None
    style: str
    also: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "SpriteInfo":
        """The inverse of `to_json`."""
        fields: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
        return cls(**fields)


class Emojibase:
    """emojibase-data's English table, looked up by code points."""

    def __init__(self, data: Iterable[Mapping[str, Any]], messages: Mapping[str, Any]) -> None:
        self._groups = {group["order"]: group["key"] for group in messages["groups"]}
        self._entries: dict[str, dict[str, Any]] = {}
        for entry in data:
            self._entries[plain_points(entry["hexcode"])] = dict(entry)
            for skin in entry.get("skins", ()):
                self._entries[plain_points(skin["hexcode"])] = {**entry, **skin}

    def describe(self, name: str, codepoints: str | None, style: str) -> SpriteInfo:
        """The sprite's info. An icon that emojibase does not know is labelled with its own name's words."""
        entry = self._entries.get(plain_points(codepoints)) if codepoints else None
        tones = _tones(name, codepoints, entry)
        base = TONE_SUFFIX.sub("", name) if tones else name
        if entry is None:
            return SpriteInfo(name, base, name.replace("-", " "), (), codepoints, None, _gender(name), tones, style)
        gender = GENDERS.get(entry["gender"]) if "gender" in entry else None
        group = self._groups.get(entry.get("group"))
        return SpriteInfo(name, base, entry["label"], tuple(entry.get("tags", ())), codepoints, group, gender, tones, style)

    def icon(self, codepoints: str) -> tuple[str, str] | None:
        """The name and the code points as the icon sets would spell them: "flag-turks-and-caicos-islands", "1f1f9-1f1e8"."""
        entry = self._entries.get(plain_points(codepoints))
        if entry is None:
            return None
        return _icon_name(entry["label"]), entry["hexcode"].lower().replace("-fe0f", "")


def plain_points(codepoints: str) -> str:
    """Code points in one spelling, to look up by: packages differ in dashes, leading zeros, selectors and cancel tags."""
    points = codepoints.upper().replace("_", "-").split("-")
    return "-".join(point.lstrip("0") for point in points if point not in ("FE0F", "E007F"))


def _icon_name(label: str) -> str:
    """A label in iconify's way: "flag: Côte d’Ivoire" → "flag-cote-divoire"."""
    letters = unicodedata.normalize("NFKD", label.replace("&", "and")).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", letters.lower().replace("'", "").replace(".", "")))


def _tones(name: str, codepoints: str | None, entry: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    if entry is not None:
        tone = entry.get("tone")
        if tone is None:
            return None
        return tuple(TONES[index - 1] for index in (tone if isinstance(tone, list) else [tone]))
    # Sets draw a few tones that emojibase does not list; there the code points or, without any, the name tells.
    if codepoints is not None:
        points = (int(point, 16) - 0x1F3FB for point in codepoints.split("-"))
        return tuple(TONES[point] for point in points if 0 <= point < len(TONES)) or None
    if (suffix := TONE_SUFFIX.search(name)) is None:
        return None
    found = re.findall(r"medium-light|medium-dark|light|medium|dark|tone[1-5]", suffix.group())
    return tuple(TONES[int(tone[-1]) - 1] if tone.startswith("tone") else tone for tone in found)


def _gender(name: str) -> str | None:
    first = name.partition("-")[0]
    return {"woman": "female", "women": "female", "man": "male", "men": "male"}.get(first)
