"""The table that a bench run leaves: what was compared, how it came out, what was wanted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """One comparison. measured: the ratio with its interval. goal: what is wanted. is_met: None where there is no goal."""

    what: str
    measured: str
    goal: str
    is_met: bool | None
    beside: str = ""

    def cells(self) -> str:
        """The line of the table."""
        verdict = "" if self.is_met is None else "yes" if self.is_met else "no"
        return f"| {self.what} | {self.measured} | {self.goal} | {verdict} | {self.beside} |"


def write(lines: Sequence[Line], machine: str, out: Path) -> str:
    """Write `bench.md` and `bench.json` into a folder, and return the former's text."""
    day = datetime.now(UTC).date().isoformat()
    text = (
        f"{day}, {machine}. Medians of block ratios with 95 % bootstrap intervals; it is the worse end that meets a goal.\n\n"
        "| what | measured | goal | met | beside it |\n| --- | --- | --- | --- | --- |\n"
        + "\n".join(line.cells() for line in lines)
        + "\n"
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.md").write_text(text, encoding="utf-8")
    (out / "bench.json").write_text(json.dumps({"machine": machine, "day": day, "lines": [asdict(x) for x in lines]}, indent=1))
    return text
