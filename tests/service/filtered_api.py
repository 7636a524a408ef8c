"""`python -m tests.service.filtered_api ARM PORT`: the real API process with a part of its prompt filter, for benches.

No setting switches it off, so this takes it out of a process of its own. ARM: `off` asks nobody, `terms` has the word lists
without the classifier, `whole` is what ships.
"""

from __future__ import annotations

import os
import sys

from service.threads import tune_blas

if __name__ == "__main__":
    tune_blas(os.environ)

from contract.settings import Settings
from safety.prompt_filter import PromptFilter, Verdict
from service import main
from service.prompt_guard import PromptGuard


class NoGuard(PromptGuard):
    """Lets everything through and computes nothing; nor does the service ask the queue for room before it would."""

    def remembers(self, text: str) -> bool:
        return True

    def verdict(self, text: str) -> Verdict:
        return Verdict()


GUARDS = {
    "off": lambda settings: NoGuard(PromptFilter.load()),
    "terms": lambda settings: PromptGuard(PromptFilter.load()),
    "whole": PromptGuard.load,
}


def run(arm: str, port: int) -> None:
    PromptGuard.load = staticmethod(GUARDS[arm])
    main.run(Settings(port=port))


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
