"""Compiled graphs on disk, each in a file of its own behind a checksum, until nobody has read it for long.

A file's name tells the setup that its graph was made with: versions of the packages, machine, threads, options, net code and
model. Of another setup no graph is ever read, but it may be another worker's, or the one that an operator goes back to.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

DIGEST_BYTES = 32
NAME_CHARACTERS = 16
UNREAD_SECONDS = 14 * 24 * 3600.0
"""How long a graph of another setup is kept from when it was made or last read. Every start reads what it computes by."""
UNFINISHED_SECONDS = 3600.0
"""How long a file that is being written is left alone: it takes seconds, unless its process was killed."""
AT_MOST = 1000
"""Entries of the folder that one sweep looks at: there are a few for each setup."""
UNFINISHED = re.compile(r"tmp.{8}|.+\.part")
"""Of this release, and of those before, which gave such files a name without an ending."""


class GraphFiles:
    """The graphs in a folder, which is made when something is kept. `setup`: whatever tells one setup from another."""

    def __init__(self, folder: Path, setup: str, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._setup = _digest(setup)
        self._clock = clock

    def path(self, part: str, shapes: str) -> Path:
        """Where the graph lies of a part of the model, for inputs of these shapes."""
        return self.folder / f"{part}-{self._setup}-{_digest(shapes)}.graph"

    def read(self, path: Path) -> bytes | None:
        """What lies in a file behind its SHA-256; None where it is missing or not whole."""
        try:
            found = path.read_bytes()
        except OSError:
            return None
        digest, stored = found[:DIGEST_BYTES], found[DIGEST_BYTES:]
        if hashlib.sha256(stored).digest() != digest:
            return None
        with suppress(OSError):  # a folder that is only read says how old its graphs are, and nobody sweeps it
            os.utime(path, (self._clock(),) * 2)
        return stored

    def keep(self, path: Path, stored: bytes) -> None:
        """Write a file for `read`, whole or not at all. Where the disk refuses, the next start makes it anew."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False) as file:
                try:
                    file.write(hashlib.sha256(stored).digest() + stored)
                    file.flush()
                    os.replace(file.name, path)
                except OSError:
                    os.unlink(file.name)
                    raise

    def sweep(self) -> int:
        """Remove graphs of other setups that nobody has read for long, and what killed processes left. Returns how many."""
        gone = 0
        for entry in self._old():
            with suppress(OSError):  # another worker was quicker, or the folder is only read
                os.unlink(entry)
                gone += 1
        return gone

    def _old(self) -> Iterator[str]:
        now = self._clock()
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in islice(entries, AT_MOST):
                kept_seconds = self._kept_seconds(entry.name)
                with suppress(OSError):
                    if entry.is_file(follow_symlinks=False) and now - entry.stat().st_mtime > kept_seconds:
                        yield entry.path

    def _kept_seconds(self, name: str) -> float:
        """How long a file of this name is kept; what is none of ours, and a graph of this very setup, for ever."""
        if UNFINISHED.fullmatch(name):
            return UNFINISHED_SECONDS
        is_of_another = name.endswith(".graph") and f"-{self._setup}-" not in name
        return UNREAD_SECONDS if is_of_another else float("inf")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:NAME_CHARACTERS]
