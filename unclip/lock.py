"""The lock on a data folder: one `unclip serve` at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import SettingsWrong
from unclip.errors import DataFolderInUse

LOCK_FILE = "serve.lock"


@contextmanager
def hold_data_folder(folder: Path, about: str) -> Iterator[None]:
    """Hold `folder` for as long as the context lasts; `about` is told to whoever is refused meanwhile.

    The kernel drops the lock with the process, however it ends, so there is no stale lock to clean up.
    Raises DataFolderInUse when another process holds it, SettingsWrong when the folder cannot be written.
    """
    path = folder / LOCK_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise SettingsWrong(
            f"the data folder {folder} cannot be written: {error.strerror}; choose another with --data-dir"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            raise DataFolderInUse(
                f"the data folder {folder} is in use by {holder}; stop that one, or give this one its own with --data-dir"
            ) from error
        handle.truncate(0)
        handle.write(f"unclip serve (process {os.getpid()}, {about})\n")
        handle.flush()
        yield
