"""A short run of the fuzzer over every operation; `make fuzz` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.fuzzing import cases_of, fuzz, fuzzable


@pytest.mark.timeout(300)
def test_no_input_makes_the_api_stumble(tmp_path: Path) -> None:
    with fuzzable(tmp_path) as served:
        status, said = fuzz(served, tmp_path, examples=1, phases="examples,fuzzing", seed=1, more=["--no-shrink"])
    assert status == 0, said
    assert cases_of(said) >= 20
