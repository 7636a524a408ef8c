"""What a part of the measurement found: figures with intervals and goals, tables, and a line for each picture; JSON on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from evals.statistics import Interval, markdown_table

Unit = Literal["share", "number", "dB"]


@dataclass(frozen=True)
class Figure:
    """One number. goal: what was wanted at least, in the same unit, where something was."""

    name: str
    interval: Interval
    goal: float | None = None
    unit: Unit = "share"

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        return None if self.goal is None else self.interval.value >= self.goal

    def __str__(self) -> str:
        if self.unit == "dB":
            return f"{self.interval.value:.1f} dB ({self.interval.low:.1f} to {self.interval.high:.1f})"
        return str(self.interval) if self.unit == "share" else self.interval.numbers()

    def cells(self) -> tuple[str, str, str, str]:
        """Name, value with interval, n, goal: a row of a table."""
        return self.name, str(self), str(self.interval.n), self._wanted()

    def _wanted(self) -> str:
        if self.goal is None:
            return ""
        said = f"{self.goal * 100:.0f} %" if self.unit == "share" else f"{self.goal:g}" + " dB" * (self.unit == "dB")
        return f"≥ {said} {'✓' if self.is_met else '✗'}"

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Figure:
        """The inverse of `asdict`."""
        return cls(**{**value, "interval": Interval(**value["interval"])})


@dataclass(frozen=True)
class Report:
    """One part's findings. settings: how the pictures were drawn. details: a line for each picture, plain JSON values."""

    part: str
    model: str
    manifest: str
    settings: Mapping[str, Any]
    figures: Sequence[Figure]
    tables: Mapping[str, str] = field(default_factory=dict)
    details: Sequence[Mapping[str, Any]] = ()

    def to_markdown(self) -> str:
        """The figures as a table; then the other tables under their names."""
        parts = [figures_table(self.figures)] if self.figures else []
        parts += [f"{name}\n\n{table}" for name, table in self.tables.items()]
        return "\n".join(parts)

    def write(self, folder: Path) -> Path:
        """Write `PART.json`. Returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.part}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read what `write` wrote."""
        value = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**value, "figures": [Figure.of_json(figure) for figure in value["figures"]]})


def figures_table(figures: Sequence[Figure]) -> str:
    """A Markdown table of figures."""
    return markdown_table(("", "measured, with 95 % interval", "n", "goal"), [figure.cells() for figure in figures])
