"""npm packages as they lie in a folder: packed (`npm pack` leaves a .tgz) or unpacked. Nothing is fetched."""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from training.data.errata import fluent_3d
from training.data.errors import DataError, PackageBroken, PackageMissing
from training.data.labels import plain_points


@dataclass(frozen=True)
class Style:
    """One set of sprites: how we call it, and the package that it is drawn from.

    webp_folder: where the package keeps its pictures, WebP files called by their code points; None: it is an iconify
    package, SVG in one icons.json. shows: what such a file shows, from its name: code points as `plain_points` spells them.
    named_by: the style whose chars.json says which icon has which code points, where the package has no such table itself.
    """

    name: str
    package: str
    version: str
    licence: str
    webp_folder: str | None = None
    shows: Callable[[str], str] = plain_points
    named_by: "Style | None" = None

    @property
    def sources(self) -> tuple["Style", ...]:
        """The styles whose packages are read to build this one."""
        return (self,) if self.named_by is None else (self, self.named_by)


FLAT = Style("flat", "@iconify-json/fluent-emoji-flat", "1.2.6", "MIT")
STYLES: tuple[Style, ...] = (
    FLAT,
    # The same icons under the same names as the flat ones, but its chars.json is empty.
    Style("fluent", "@iconify-json/fluent-emoji", "1.2.7", "MIT", named_by=FLAT),
    Style("3d", "@lobehub/fluent-emoji-3d", "1.1.0", "MIT", webp_folder="assets", shows=fluent_3d, named_by=FLAT),
    Style("noto", "@iconify-json/noto", "1.2.9", "Apache-2.0"),
    Style("twemoji", "@iconify-json/twemoji", "1.2.5", "CC-BY-4.0"),
)
EMOJIBASE = ("emojibase-data", "17.0.0", "MIT")


def styles_named(names: Sequence[str] | None) -> tuple[Style, ...]:
    """The styles of those names, each once, in the order of `STYLES`; all of them for none. Raises DataError."""
    known = {style.name: style for style in STYLES}
    if unknown := [name for name in names or () if name not in known]:
        raise DataError(f"there is no style {unknown[0]!r}; choose from {', '.join(known)}")
    return tuple(style for style in STYLES if not names or style.name in names)


@dataclass
class Package:
    """The files of one package. It remembers what was read, so that a manifest can name its sha256."""

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

    def read_folder(self, folder: str, suffix: str) -> dict[str, bytes]:
        """The files `folder/*suffix` in the package by their bare names, ordered as files. Raises PackageBroken without any.

        All are read in one go: looking them up one by one would unpack the archive anew for each. What is remembered is one
        sha256 over the lines that `sha256sum folder/*suffix` prints in the package (in the C locale).
        """
        try:
            found = dict(_folder(self.path, folder, suffix))
        except (OSError, tarfile.TarError) as error:
            raise PackageBroken(f"{self.name}@{self.version} ({self.path}): cannot read {folder}: {error}") from error
        if not found:
            raise PackageBroken(f"{self.name}@{self.version} ({self.path}) holds no {folder}/*{suffix}")
        files = {name: found[name] for name in sorted(found, key=lambda name: name + suffix)}
        lines = (f"{hashlib.sha256(content).hexdigest()}  {folder}/{name}{suffix}\n" for name, content in files.items())
        self.read_sha256[f"{folder}/*{suffix}"] = hashlib.sha256("".join(lines).encode()).hexdigest()
        return files


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


def _folder(path: Path, folder: str, suffix: str) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield from ((file.name.removesuffix(suffix), file.read_bytes()) for file in (path / folder).glob(f"*{suffix}"))
        return
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            if name.parent == PurePosixPath("package") / folder and name.name.endswith(suffix):
                file = archive.extractfile(member)
                if file is not None:
                    yield name.name.removesuffix(suffix), file.read()
