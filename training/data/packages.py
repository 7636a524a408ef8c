"""npm packages as they lie in a folder: packed (`npm pack` leaves a .tgz) or unpacked. Nothing is fetched."""

import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.data.errors import PackageBroken, PackageMissing


@dataclass(frozen=True)
class Style:
    """One set of sprites: how we call it, and the package that it is drawn from."""

    name: str
    package: str
    version: str
    licence: str


STYLES: tuple[Style, ...] = (
    Style("flat", "@iconify-json/fluent-emoji-flat", "1.2.6", "MIT"),
    Style("noto", "@iconify-json/noto", "1.2.9", "Apache-2.0"),
    Style("twemoji", "@iconify-json/twemoji", "1.2.5", "CC-BY-4.0"),
)
EMOJIBASE = ("emojibase-data", "17.0.0", "MIT")


@dataclass
class Package:
    """The files of one package. `read` remembers what was read, so that a manifest can name its sha256."""

    name: str
    version: str
    path: Path
    read_sha256: dict[str, str] = field(default_factory=dict)

    def read(self, file: str) -> Any:
        """The JSON file at `file` inside the package. Raises PackageBroken when it is absent or no JSON."""
        try:
            content = _content(self.path, file)
            value = json.loads(content)
        except (OSError, KeyError, tarfile.TarError, ValueError) as error:
            raise PackageBroken(f"{self.name}@{self.version} ({self.path}): cannot read {file}: {error}") from error
        self.read_sha256[file] = hashlib.sha256(content).hexdigest()
        return value


def find_packages(folder: Path, wanted: Mapping[str, str]) -> dict[str, Package]:
    """The packages of `wanted` (name → version) in `folder`, as .tgz or unpacked, up to four folders deep.

    Raises PackageMissing naming all that are absent at that version.
    """
    found: dict[str, Package] = {}
    for path in _candidates(folder):
        try:
            about = json.loads(_content(path, "package.json"))
            name, version = about["name"], about["version"]
        except (OSError, KeyError, TypeError, tarfile.TarError, ValueError):
            continue
        if wanted.get(name) == version:
            found.setdefault(name, Package(name, version, path))
    if missing := [(name, version) for name, version in wanted.items() if name not in found]:
        raise PackageMissing(folder, missing)
    return found


def _candidates(folder: Path) -> list[Path]:
    archives = sorted(folder.glob("*.tgz"))
    unpacked = sorted(path.parent for depth in range(4) for path in folder.glob("*/" * (depth + 1) + "package.json"))
    return archives + unpacked


def _content(path: Path, file: str) -> bytes:
    if path.is_dir():
        return (path / file).read_bytes()
    with tarfile.open(path) as archive:
        # npm puts everything under `package/`.
        member = archive.extractfile(f"package/{file}")
        if member is None:
            raise KeyError(file)
        return member.read()
