"""A folder of npm packages in small: four icons in one set, in the packages' own layout."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.data.packages import EMOJIBASE, Style

TINY = Style("tiny", "@iconify-json/tiny", "1.0.0", "MIT")
ICONS = {
    "width": 16,
    "height": 16,
    "icons": {
        "red-square": {"body": '<path fill="#f00" d="M4 4h8v8H4z"/>'},
        "blue-disc": {"body": '<circle cx="8" cy="8" r="6" fill="#00f"/>'},
        "green-bar-dark": {"body": '<path fill="#080" d="M0 0h16v8H0z"/>', "height": 8},
        "same-square": {"body": '<rect x="4" y="4" width="8" height="8" fill="#f00"/>'},
    },
}
CHARS = {"1f7e5": "red-square", "1f7e2-1f3ff": "green-bar-dark"}
EMOJIS = [
    {"label": "red square", "hexcode": "1F7E5-FE0F", "tags": ["red"], "group": 8},
    {
        "label": "green bar",
        "hexcode": "1F7E2",
        "tags": ["bar"],
        "group": 1,
        "gender": 0,
        "skins": [{"label": "green bar: dark skin tone", "hexcode": "1F7E2-1F3FF", "gender": 0, "group": 1, "tone": 5}],
    },
]
MESSAGES = {"groups": [{"key": "people-body", "order": 1}, {"key": "symbols", "order": 8}]}


def write_package(folder: Path, name: str, version: str, files: Mapping[str, Any], *, packed: bool) -> None:
    """One package, as `npm pack` leaves it or as it lies once unpacked. files: bytes as they are, all else as JSON."""
    contents = {"package.json": {"name": name, "version": version}, **files}
    stem = name.strip("@").replace("/", "-")
    if not packed:
        for path, value in contents.items():
            (folder / stem / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / stem / path).write_bytes(_bytes(value))
        return
    with tarfile.open(folder / f"{stem}-{version}.tgz", "w:gz") as archive:
        for path, value in contents.items():
            data = _bytes(value)
            entry = tarfile.TarInfo(f"package/{path}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def write_tiny_packages(folder: Path) -> Path:
    """Make `folder` with the packed sprite set and the unpacked emojibase in it."""
    folder.mkdir()
    write_package(folder, TINY.package, TINY.version, {"icons.json": ICONS, "chars.json": CHARS}, packed=True)
    words = {"en/data.json": EMOJIS, "en/messages.json": MESSAGES}
    write_package(folder, EMOJIBASE[0], EMOJIBASE[1], words, packed=False)
    return folder
