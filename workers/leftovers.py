"""What a killed process left half written at the top of the data folder.

Pictures are swept by `workers.sweep`, graphs by `models.graph_files`.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path

from workers.calibration import FILE as CALIBRATION_FILE

UNFINISHED_SECONDS = 3600.0
"""How long such a file is left alone: to write one takes no second."""
UNFINISHED = re.compile(rf"c2pa-(?:certificate|key)\.\d+\.part|\.{re.escape(CALIBRATION_FILE)}\.tmp")


def remove_leftovers(folder: Path, now: float | None = None) -> int:
    """Remove them; returns how many went. A folder that cannot be read or written is left as it is. now: Unix seconds."""
    now, gone = time.time() if now is None else now, 0
    with suppress(OSError):
        for path in folder.iterdir():
            if UNFINISHED.fullmatch(path.name) and now - path.stat().st_mtime > UNFINISHED_SECONDS:
                path.unlink(missing_ok=True)
                gone += 1
    return gone
