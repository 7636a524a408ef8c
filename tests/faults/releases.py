"""The code of another release, as it was: unpacked from the repository's history, to run a worker of it beside today's."""

from __future__ import annotations

import os
import subprocess
import sys
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
    # A model folder as that release writes it: it may not know what today's says.
    ask = "import json; from tests.conftest import MODEL_INDEX; print(json.dumps(MODEL_INDEX))"
    there = os.environ | {"PYTHONPATH": str(folder)}
    told = subprocess.run([sys.executable, "-c", ask], cwd=folder, env=there, capture_output=True, check=True)
    model_of(folder).mkdir()
    (model_of(folder) / "model_index.json").write_bytes(told.stdout)
    return folder


def model_of(folder: Path) -> Path:
    """Return the model folder of an unpacked release."""
    return folder / "model"
