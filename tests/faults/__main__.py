"""`make faults`: many rounds of seeded faults, longer than in the suite. Keeps every ledger; ends with 1 if one is not clean.

Play one round again with `--seed N --rounds 1`. A round's installation is new every twenty rounds.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.installation import Shape, installed
from tests.faults.ledger import Ledger, Verdict
from tests.faults.releases import NoSuchRelease, unpack
from tests.faults.script import Scale, play

ROUNDS_PER_INSTALLATION = 20
LONG_EVERY = 10


@dataclass
class Tally:
    """What all rounds together showed."""

    rounds: int = 0
    unclean: list[int] = field(default_factory=list)
    recovered: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    begun: Counter[str] = field(default_factory=Counter)
    """How often each worker began a job; the last is of the other release where one is asked for."""


def main() -> int:
    """Play the rounds that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1000, help="of the first round; each further one has the next")
    parser.add_argument("--outage-seconds", type=float, default=3.0, help="longest outage of a round")
    parser.add_argument("--long-outage-seconds", type=float, default=30.0, help=f"the same of every {LONG_EVERY}th round")
    parser.add_argument("--out", type=Path, default=Path("out/faults"))
    parser.add_argument("--other-release", metavar="COMMIT", help="one of the two workers runs the code of this commit")
    parser.set_defaults(shape=Shape())
    asked = parser.parse_args()
    asked.out = asked.out.resolve()  # another release's processes run elsewhere
    shutil.rmtree(asked.out, ignore_errors=True)
    asked.out.mkdir(parents=True)
    if asked.other_release:
        try:
            asked.shape = Shape(other_release=unpack(asked.other_release, asked.out / "other-release"))
        except NoSuchRelease as error:
            say(str(error))
            return 2
    tally, seed, end = Tally(), asked.seed, asked.seed + asked.rounds
    while seed < end:
        seed = play_some(range(seed, min(seed + ROUNDS_PER_INSTALLATION, end)), asked, tally)
    say(f"{tally.rounds} rounds, unclean: {tally.unclean or 'none'}; jobs begun more than once: {tally.recovered}")
    say(f"answers and ends: {dict(tally.answers)}")
    say(f"jobs begun by each worker: {dict(tally.begun)}")
    say(f"faults: {dict(tally.faults)}")
    return 1 if tally.unclean else 0


def play_some(seeds: range, asked: argparse.Namespace, tally: Tally) -> int:
    """Play rounds on one installation, up to the first that is not clean: it may have left something broken.

    Returns the next seed.
    """
    folder, ledger = asked.out / f"installation-{seeds.start}", Ledger()
    folder.mkdir()
    with installed(folder, asked.shape) as installation:
        for seed in seeds:
            began = time.monotonic()
            faults, verdict = play(installation, ledger, seed, scale_of(seed, asked))
            ledger.save(asked.out / f"round-{seed}.jsonl", verdict)
            tally.rounds += 1
            tally.faults.update(faults)
            say(f"round {seed}: {'clean' if verdict.is_clean else 'NOT CLEAN'} in {time.monotonic() - began:.1f} s: {faults}")
            if not verdict.is_clean:
                tally.unclean.append(seed)
                tell(verdict)
                break
    tally.begun.update({log.stem: log.read_text().count('"a job begins"') for log in folder.glob("worker-*.log")})
    tally.answers.update(verdict.counts)
    tally.recovered += len(verdict.recovered)
    if verdict.is_clean:
        shutil.rmtree(folder)
    return seed + 1


def scale_of(seed: int, asked: argparse.Namespace) -> Scale:
    is_long = seed % LONG_EVERY == 0
    outage_seconds = asked.long_outage_seconds if is_long else asked.outage_seconds
    return Scale(requests=12, faults=3, outage_seconds=outage_seconds, pause_seconds=0.15, patience_seconds=180)


def tell(verdict: Verdict) -> None:
    for name in ("lost", "double", "unexpected"):
        for line in getattr(verdict, name):
            say(f"  {name}: {line}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
