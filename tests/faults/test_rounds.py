"""Twenty quick rounds of seeded faults: no acknowledged job is lost, none ends twice, nothing happens that nobody asked for.

`make faults` plays as many as one likes, with longer outages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.installation import Installation, Shape, installed
from tests.faults.ledger import Ledger
from tests.faults.script import Scale, play

QUICK = Scale()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("installation"), Shape()) as installation:
        yield installation


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """One for all rounds: what an earlier one was told must still hold."""
    return Ledger()


@pytest.mark.parametrize("seed", range(20))
def test_no_job_is_lost_or_done_twice(installation, ledger, tmp_path: Path, seed):
    faults, verdict = play(installation, ledger, seed, QUICK)
    ledger.save(tmp_path / "ledger.jsonl", verdict)
    assert verdict.is_clean, f"{faults}: {verdict}"
