"""The code of another release, as it was: unpacked from the repository's history, to run a worker of it beside today's."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("contract", "safety", "workers", "models", "unclip", "service", "tests", ":(exclude)models/weights")


class NoSuchRelease(Exception):
    """The commit is not in this clone: a shallow one holds the newest alone."""


def unpack(commit: str, folder: Path) -> Path:
    """Put the code of a commit, without weights, into a new folder. Raises NoSuchRelease."""
    command = ["git", "archive", "--format=tar", commit, "--", *NEEDED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        raise NoSuchRelease(f"{commit} cannot be unpacked here: {done.stderr.decode().strip()}")
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
