"""`unclip eval safety`: the prompt filter on the labelled prompts, as a table."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evals.safety.attacks import ATTACKS
from safety.policy import CATEGORIES
from safety.prompt_filter import PromptFilter
from safety.vocabulary import Vocabulary
from training.prompt_filter.labelled import BENIGN, Half, Labelled, read

ARMS = ("whole filter", "word lists alone", "classifier alone")
Z_95 = 1.96
TIMED = 50
"""Prompts whose check is timed."""


@dataclass
class Count:
    """refused of seen; `errors`: the prompts on the wrong side."""

    refused: int = 0
    seen: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share refused; of nothing, 0."""
        return self.refused / self.seen if self.seen else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share; of nothing, 0 to 1."""
        if not self.seen:
            return 0.0, 1.0
        square = Z_95**2 / self.seen
        middle = (self.share + square / 2) / (1 + square)
        reach = math.sqrt(self.share * (1 - self.share) * square + square**2 / 4) / (1 + square)
        return middle - reach, middle + reach


@dataclass(frozen=True)
class Report:
    """counts: by row of the table and arm. milliseconds: of one check on this machine, by arm, processor time."""

    half: str
    counts: Mapping[str, Mapping[str, Count]]
    milliseconds: Mapping[str, float]

    def to_markdown(self) -> str:
        """The table."""
        lines = [f"| {self.half} prompts | n | {' | '.join(ARMS)} |", f"| --- | ---: |{' ---: |' * len(ARMS)}"]
        for row, arms in self.counts.items():
            shares = [f"{100 * arms[arm].share:.1f} %" for arm in ARMS]
            low, high = (100 * bound for bound in arms[ARMS[0]].interval)
            shares[0] += f" ({low:.0f}–{high:.0f})"
            lines.append(f"| {row} | {arms[ARMS[0]].seen} | {' | '.join(shares)} |")
        timed = [f"{self.milliseconds[arm]:.1f} ms" for arm in ARMS]
        return "\n".join([*lines, f"| one check | {TIMED} | {' | '.join(timed)} |"])


def run(
    tower_folder: Path, out: Path, half: Half = "test", progress: Callable[[str, float, float], None] | None = None
) -> Report:
    """Measure and write OUT/safety_HALF.json. Raises TowerMissing."""
    whole = PromptFilter.load(tower_folder)
    rows = rows_of(read(half))
    seen: dict[str, dict[str, bool]] = {}
    counts: dict[str, dict[str, Count]] = {}
    for at, (row, prompts, is_bad) in enumerate(rows):
        if progress:
            progress(row, at, len(rows))
        seen |= {prompt: refusals(whole, prompt) for prompt in prompts if prompt not in seen}
        counts[row] = {arm: count([(prompt, seen[prompt][arm]) for prompt in prompts], is_bad) for arm in ARMS}
    report = Report(half, counts, {arm: milliseconds(one, read(half)) for arm, one in arms(whole).items()})
    out.mkdir(parents=True, exist_ok=True)
    (out / f"safety_{half}.json").write_text(json.dumps(_plain(report), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return report


def refusals(whole: PromptFilter, prompt: str) -> dict[str, bool]:
    """Whether each arm refuses the prompt, whatever the category."""
    return {arm: not one.check(prompt).allowed for arm, one in arms(whole).items()}


def arms(whole: PromptFilter) -> dict[str, PromptFilter]:
    """The whole filter, and what is left of it without one of its halves."""
    nothing = Vocabulary.of(())
    wordless = replace(whole, terms=dict.fromkeys(CATEGORIES, nothing), minors=nothing, suggestive=nothing, hashes=frozenset())
    return dict(zip(ARMS, (whole, replace(whole, classifier=None), wordless), strict=True))


def rows_of(prompts: Sequence[Labelled]) -> list[tuple[str, list[str], bool]]:
    """The table's rows: their names, prompts, and whether these ought to be refused."""
    english = [one for one in prompts if one.language == "en"]
    bad = [one.text for one in english if one.category != BENIGN]
    rows = [(category, [one.text for one in english if one.category == category], True) for category in CATEGORIES]
    rows += [("all five in English", bad, True)]
    rows += [(f"… under {name}", [attack(text) for text in bad], True) for name, attack in ATTACKS.items()]
    foreign = [one for one in prompts if one.language != "en"]
    rows += [("… in other languages", [one.text for one in foreign if one.category != BENIGN], True)]
    rows += [("harmless, English", [one.text for one in english if one.category == BENIGN], False)]
    rows += [("harmless, other languages", [one.text for one in foreign if one.category == BENIGN], False)]
    return rows


def count(prompts: Iterable[tuple[str, bool]], is_bad: bool) -> Count:
    """Count prompts and whether each was refused; `is_bad`: whether they should be."""
    counted = Count()
    for prompt, is_refused in prompts:
        counted.seen += 1
        counted.refused += is_refused
        if is_refused != is_bad:
            counted.errors.append(prompt)
    return counted


def milliseconds(prompt_filter: PromptFilter, prompts: Sequence[Labelled]) -> float:
    """Processor time of one check, the mean of TIMED prompts."""
    chosen = [prompts[at * len(prompts) // TIMED].text for at in range(TIMED)]
    started = time.process_time()
    for text in chosen:
        prompt_filter.check(text)
    return 1000 * (time.process_time() - started) / TIMED


def _plain(report: Report) -> dict[str, object]:
    counts = {
        row: {arm: {"refused": each.refused, "seen": each.seen, "errors": each.errors} for arm, each in of_arms.items()}
        for row, of_arms in report.counts.items()
    }
    return {"half": report.half, "counts": counts, "milliseconds": dict(report.milliseconds)}
