"""What can go wrong with training data. One tree:

DataError
├─ PackageMissing    an npm package is not in the folder, or in another version
├─ PackageBroken     a package lacks a file or a field that it should have
├─ SpriteBroken      an icon that cannot be drawn
├─ DataMissing       no built or packed data of that sort in a folder
├─ ArchiveBroken     a packed archive whose checksum is wrong
└─ ObjectUnknown     an object list names what no sprite of the style is called
"""

from collections.abc import Sequence
from pathlib import Path


class DataError(Exception):
    """Base of every error of `training.data`; the message names the thing and the way out."""


class PackageMissing(DataError):
    """Packages that the build needs are absent. `commands` fetches them, one a package."""

    def __init__(self, folder: Path, wanted: Sequence[tuple[str, str]]) -> None:
        self.commands = tuple(f"npm pack {name}@{version}" for name, version in wanted)
        lines = "\n  ".join(self.commands)
        super().__init__(f"{folder} lacks {len(wanted)} package(s); in that folder run:\n  {lines}")


class PackageBroken(DataError):
    """A package is there but is not what its name promises."""


class SpriteBroken(DataError):
    """An icon whose SVG cannot be drawn."""


class DataMissing(DataError):
    """A folder that holds no sprites of the sort asked for; `command` makes them."""

    def __init__(self, folder: Path, sort: str, command: str = "unclip data build") -> None:
        super().__init__(f"{folder} holds no sprites of {sort}; make them with `{command} --out {folder}`")


class ArchiveBroken(DataError):
    """An archive that is not what `archives.json` beside it says."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not the archive that archives.json beside it tells of; copy or pack it again")


class ObjectUnknown(DataError):
    """A name in an object list that no sprite of the style bears."""

    def __init__(self, name: str, style: str) -> None:
        super().__init__(f"no sprite of style {style!r} is called {name!r}")


class LossDiverged(DataError):
    """A loss that is no number; what the net has become is not kept."""

    def __init__(self, stage: str, loss: float, step: int) -> None:
        super().__init__(f"{stage}: the loss is {loss} at step {step}; lower the learning rate, and start the stage again")
