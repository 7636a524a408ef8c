"""`python -m tests.faults.real_worker`: the worker with its nets, as the forge starts it."""

from __future__ import annotations

import torch  # noqa: F401 - the second that the forge saves

import models.cascade  # noqa: F401
from contract.settings import Settings
from workers.main import run


def main() -> None:
    run(Settings(picture_filter=False))
