"""The client's ledger, and what it is held against: every job acknowledged ends once, and as its client was told.

Four sets, after Jepsen's checker for queues: *lost* (acknowledged, and no readable end), *double* (two ends, or two jobs of one
request), *unexpected* (jobs, ends or pictures that nobody asked for), *recovered* (begun more than once).
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from contract.record import JobRecord
from contract.states import JobState
from contract.webhooks import TYPE_OF_STATE


@dataclass
class Entry:
    """One request, named by its seed. `answer`: what came back to the submit: `accepted`, a refusal's code, or `none`."""

    seed: int
    sent_at: float
    answer: str = "none"
    job_id: str | None = None
    cancel: str | None = None
    """What a cancel was told: the job's state then."""
    broken: str | None = None
    """An answer that no client can make sense of: neither the job nor a refusal with a code."""


@dataclass
class Truth:
    """What the installation holds, read past all proxies.

    `records`: every job in the queue. `ends`: how often each job ended, by the stream of ends or by its results. `wrong`: of
    succeeded jobs, why their pictures are not what they should be. `strays`: pictures in the store whose job did not succeed.
    `leftovers`: what queues and registries still hold. `told`: of each job, the types of the events that its webhook got,
    and how often; None where jobs have no webhooks. `forged`: posts that could not be verified.
    """

    records: dict[str, JobRecord]
    ends: Counter[str]
    wrong: dict[str, str]
    strays: list[str]
    leftovers: list[str]
    told: Mapping[str, Counter[str]] | None = None
    forged: Sequence[str] = ()


@dataclass
class Verdict:
    """The four sets, and what is worth knowing beside them."""

    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.double or self.unexpected)


class Reader(Protocol):
    """Reads the truth."""

    def truth(self) -> Truth: ...


class Ledger:
    """What the client knows. Any thread may write."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self._lock = threading.Lock()

    def sent(self, seed: int) -> Entry:
        """Note a request before it goes out: it may be done even if no answer ever comes."""
        with self._lock:
            assert seed not in self.entries
            self.entries[seed] = Entry(seed, time.time())
            return self.entries[seed]

    @property
    def accepted(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.job_id is not None]

    def save(self, path: Path, verdict: Verdict) -> None:
        """Keep what was sent and what was found, one JSON object a line; the last line is the verdict."""
        lines = [asdict(entry) for entry in self.entries.values()] + [asdict(verdict)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def judge(self, truth: Truth) -> Verdict:
        """Hold the ledger against the truth."""
        verdict = Verdict()
        by_seed: dict[int, list[JobRecord]] = {}
        for record in truth.records.values():
            by_seed.setdefault(record.spec.seed, []).append(record)
        for entry in self.entries.values():
            self._judge_entry(entry, truth, verdict)
            jobs = by_seed.pop(entry.seed, [])
            if len(jobs) > 1:
                verdict.double.append(f"request {entry.seed} became {len(jobs)} jobs: {[job.id for job in jobs]}")
            if jobs and entry.answer not in ("accepted", "none"):
                verdict.unexpected.append(f"request {entry.seed} was refused ({entry.answer}) and became job {jobs[0].id}")
        verdict.unexpected += [f"job {job.id}: nobody sent seed {seed}" for seed, jobs in by_seed.items() for job in jobs]
        verdict.unexpected += [f"stray picture {picture}" for picture in truth.strays]
        verdict.unexpected += [f"left over: {name}" for name in truth.leftovers]
        verdict.double += [f"job {job_id} ended {count} times" for job_id, count in truth.ends.items() if count > 1]
        if truth.told is not None:
            self._judge_calls(truth, truth.told, verdict)
        verdict.recovered = [job.id for job in truth.records.values() if job.attempts > 1]
        answers = Counter(entry.answer for entry in self.entries.values())
        verdict.counts = dict(answers) | Counter(f"state {job.state.value}" for job in truth.records.values())
        if truth.told is not None:
            calls = [count for types in truth.told.values() for count in types.values()]
            verdict.counts |= {"jobs called back": len(truth.told), "calls more than once": sum(calls) - len(calls)}
        return verdict

    def _judge_calls(self, truth: Truth, told: Mapping[str, Counter[str]], verdict: Verdict) -> None:
        """Each end is told at least once, and nothing is told that is not so."""
        verdict.unexpected += [f"a post that is not ours: {post}" for post in truth.forged]
        for job in truth.records.values():
            if job.state.is_terminal and TYPE_OF_STATE[job.state] not in told.get(job.id, ()):
                verdict.lost.append(f"nobody was told that job {job.id} {job.state.value}")
        for job_id, types in told.items():
            found = truth.records.get(job_id)
            so = TYPE_OF_STATE.get(found.state) if found else None
            verdict.unexpected += [f"{type_} was told of job {job_id}, which is {so}" for type_ in types if type_ != so]

    def _judge_entry(self, entry: Entry, truth: Truth, verdict: Verdict) -> None:
        if entry.broken is not None:
            verdict.unexpected.append(f"request {entry.seed} was answered with {entry.broken}")
        if entry.job_id is None:
            return
        job = truth.records.get(entry.job_id)
        about = f"job {entry.job_id} of request {entry.seed}"
        if job is None:
            verdict.lost.append(f"{about} is not there any more")
        elif not job.state.is_terminal:
            verdict.lost.append(f"{about} is still {job.state.value}, attempts {job.attempts}")
        elif job.state is JobState.FAILED:
            verdict.unexpected.append(f"{about} failed: {job.error}")
        elif entry.job_id in truth.wrong:
            verdict.lost.append(f"{about} succeeded, but {truth.wrong[entry.job_id]}")
        elif job.state is JobState.CANCELED and entry.cancel is None:
            verdict.unexpected.append(f"{about} was canceled by nobody")
        elif job.state is JobState.SUCCEEDED and entry.cancel == JobState.CANCELED.value:
            verdict.unexpected.append(f"{about} succeeded after its client was told that it is canceled")
