"""What is asked of a model: committed lists of prompts, their seeds, and what each picture must then show."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

LISTS = Path(__file__).with_name("lists")
BETWEEN = ", "
"""Between names of which any is right."""


@dataclass(frozen=True)
class Asked:
    """One prompt at one seed. What a list does not speak of is None.

    concepts: the picture shows one of these. colour: of that object. count: how many of it. relation: where it is, seen from
    `other`. backdrop: "plain blue", or a pattern's or scenery's name. style: in which it was asked for.
    """

    prompt: str
    seed: int
    concepts: tuple[str, ...] = ()
    colour: str | None = None
    count: int | None = None
    relation: str | None = None
    other: str | None = None
    backdrop: str | None = None
    style: str | None = None

    def at(self, seed: int) -> Asked:
        """The same at another seed."""
        return Asked(**{**vars(self), "seed": seed})


def read_list(name: str, *, share: float = 1.0, folder: Path = LISTS) -> tuple[Asked, ...]:
    """The first `share` of a list, at least one line: lists lie in chance order, so its head is a sample of it.

    A list is a table between tabs; its first line names fields of `Asked`. `#` begins a comment. Raises ValueError naming the
    file and the line.
    """
    path = folder / f"{name}.txt"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
    asked = []
    for number, row in enumerate(table, start=1):
        try:
            asked.append(_asked(row))
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"{path}, entry {number}: {error} in {row}") from error
    return tuple(asked[: max(1, round(share * len(asked)))])


def write_list(name: str, comment: str, asked: Sequence[Asked], folder: Path = LISTS) -> None:
    """Write a list that `read_list` reads, with the columns that it needs."""
    needed = [field.name for field in fields(Asked) if any(getattr(one, field.name) not in (None, ()) for one in asked)]
    lines = [*(f"# {line}" for line in comment.splitlines()), "\t".join(needed)]
    lines += ["\t".join(_cells(one, needed)) for one in asked]
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _asked(row: dict[str, Any]) -> Asked:
    taken = {name: value for name, value in row.items() if value != ""}
    taken["seed"] = int(taken["seed"])
    if "concepts" in taken:
        taken["concepts"] = tuple(taken["concepts"].split(BETWEEN))
    if "count" in taken:
        taken["count"] = int(taken["count"])
    return Asked(**taken)


def _cells(asked: Asked, needed: Sequence[str]) -> Iterable[str]:
    values = asdict(asked)
    for name in needed:
        value = values[name]
        yield BETWEEN.join(value) if isinstance(value, tuple) else "" if value is None else str(value)
