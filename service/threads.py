"""How many threads the API's mathematics may have. Imports nothing: it is asked before numpy is loaded."""

from __future__ import annotations

from collections.abc import MutableMapping


def tune_blas(environ: MutableMapping[str, str]) -> None:
    """Give numpy's matrix products one thread, unless the operator has said otherwise; OpenBLAS reads this when it is loaded.

    The sentence tower's matrices gain nothing from more, and threads that wait for each other spin: where they have to share
    one core, four callers with new prompts were served 2 times a second instead of 98.
    """
    environ.setdefault("OPENBLAS_NUM_THREADS", "1")
