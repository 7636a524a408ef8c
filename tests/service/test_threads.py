"""The API's mathematics in one thread."""

from __future__ import annotations

import subprocess
import sys

from service.threads import tune_blas


def test_blas_is_tuned_and_the_operators_word_stands() -> None:
    unset: dict[str, str] = {}
    told = {"OPENBLAS_NUM_THREADS": "3"}
    tune_blas(unset)
    tune_blas(told)
    assert (unset, told) == ({"OPENBLAS_NUM_THREADS": "1"}, {"OPENBLAS_NUM_THREADS": "3"})


def test_blas_is_tuned_before_numpy_is_loaded() -> None:
    code = (
        "import sys, service.threads; service.threads.tune_blas = lambda environ: print('numpy' in sys.modules); "
        "import unclip.cli; unclip.cli.api(host='0.0.0.0')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout.splitlines()[:1] == ["False"]
