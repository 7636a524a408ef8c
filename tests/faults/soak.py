"""`make soak`: ten thousand tiny jobs through one API and one worker; memory, open files and Valkey's keys must stay flat.

Records are kept for a few seconds only, so that after the first of them as many leave as come. Ends with 1 if anything grew.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import psutil

from tests.faults.installation import Installation, Shape, installed

RETENTION_SECONDS = 20
SAMPLES = 20
MOST_WAITING = 40
MEMORY_SLACK_MIB, SLACK_OF_COUNTS = 8.0, 1.15
LASTING = (
    *("rq:queues", "rq:workers", "rq:worker", "unclip:ended", "unclip:bell", "unclip:housekeeping", "unclip:metrics"),
    "unclip:jobs",
)
"""How the names of the keys begin that an idle installation may hold. The stream of ends is bounded by its length; the index of
a key's jobs is kept for longer than they are, so that what has expired is known to have been there, and swept then."""


@dataclass
class Sample:
    """One look at the installation after `jobs` jobs. Memory in MiB."""

    jobs: int
    seconds: float
    worker_mib: float
    api_mib: float
    worker_files: int
    api_files: int
    valkey_mib: float
    keys: int


def main() -> int:
    """Send the jobs that the command line asks for, and judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("out/soak"))
    asked = parser.parse_args()
    shutil.rmtree(asked.out, ignore_errors=True)
    shape = Shape(lease_seconds=8, step_seconds=0, workers=1, retention_hours=RETENTION_SECONDS / 3600)
    with installed(asked.out, shape) as installation:
        samples = soak(installation, asked.jobs)
        left = keys_after(installation)
    problems = growth(samples) + [f"key {name} stays" for name in left]
    for line in problems:
        say(line)
    say(f"{asked.jobs} jobs in {samples[-1].seconds:.0f} s: {'flat' if not problems else 'NOT FLAT'}")
    return 1 if problems else 0


def soak(installation: Installation, jobs: int) -> list[Sample]:
    """Send jobs, never more waiting than a few, and look twenty times on the way."""
    began, samples = time.monotonic(), []
    with httpx.Client(base_url=installation.api_url, timeout=30) as http, ThreadPoolExecutor(4) as pool:

        def send(seed: int) -> None:
            body = {"operation": "generate", "prompt": "a red apple", "seed": seed, "size": "256x256"}
            few_steps = {"steps": 1, "prior_steps": 1, "upsample_steps": 1}
            # A machine with too much to do may answer 503 now and then, and means it: try again shortly.
            while http.post("/v1/jobs", json=body | few_steps).status_code != 202:
                time.sleep(1)

        chunk = jobs // SAMPLES
        for number in range(SAMPLES):
            for first in range(0, chunk, MOST_WAITING // 2):
                while installation.jobs.depth() > MOST_WAITING // 2:
                    time.sleep(0.02)
                seeds = range(number * chunk + first, number * chunk + min(first + MOST_WAITING // 2, chunk))
                list(pool.map(send, seeds))
            samples.append(look(installation, (number + 1) * chunk, time.monotonic() - began))
            say(str(asdict(samples[-1])))
    return samples


def look(installation: Installation, jobs: int, seconds: float) -> Sample:
    worker, api = (psutil.Process(installation.processes[name].pid) for name in ("worker-0", "api"))
    valkey = psutil.Process(installation.valkey.process.pid)
    return Sample(
        jobs=jobs,
        seconds=round(seconds, 1),
        worker_mib=round(worker.memory_info().rss / 2**20, 1),
        api_mib=round(api.memory_info().rss / 2**20, 1),
        worker_files=worker.num_fds(),
        api_files=api.num_fds(),
        valkey_mib=round(valkey.memory_info().rss / 2**20, 1),
        keys=installation.redis.dbsize(),
    )


def growth(samples: list[Sample]) -> list[str]:
    """Compare the last quarter with the second: by the first, caches have filled and the first records have expired."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    problems = []
    # Keys are those of the jobs that are kept, and how many those are goes with how quickly the machine draws.
    kept = [RETENTION_SECONDS * (b.jobs - a.jobs) / (b.seconds - a.seconds) for a, b in pairwise(samples)]
    each = [sample.keys / max(1.0, count) for sample, count in zip(samples[1:], kept, strict=True)]
    if (after := statistics.median(each[-quarter:])) > (
        before := statistics.median(each[quarter : 2 * quarter])
    ) * SLACK_OF_COUNTS:
        problems.append(f"keys of one job grew from {before:.2f} to {after:.2f}")
    for name in ("worker_mib", "api_mib", "worker_files", "api_files"):
        before = statistics.median(getattr(sample, name) for sample in early)
        after = statistics.median(getattr(sample, name) for sample in late)
        most = before + MEMORY_SLACK_MIB if name.endswith("_mib") else before * SLACK_OF_COUNTS + 5
        if after > most:
            problems.append(f"{name} grew from {before} to {after}")
    return problems


def keys_after(installation: Installation) -> list[str]:
    """Wait until every record has expired, and return the kinds of keys that should not be there any more."""
    installation.rest()  # what there is cannot be told: records expire while they are read
    time.sleep(RETENTION_SECONDS + 2 * installation.shape.lease_seconds)
    names = [key.decode() for key in installation.redis.scan_iter(count=1000)]
    kinds = Counter(":".join(name.split(":")[:3]) for name in names if not name.startswith(LASTING))
    return [f"{kind} ({count})" for kind, count in kinds.items()]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
