"""The real API process, as the forge starts it."""

from __future__ import annotations

from contract.settings import Settings
from service.main import run


def main() -> None:
    run(Settings())
