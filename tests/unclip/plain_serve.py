"""`unclip serve` with everything real but the nets. A program, because signals and children need a process of their own."""

from __future__ import annotations

import sys
from pathlib import Path

from contract.errors import UnclipError
from contract.settings import Settings
from unclip.processes import unclip_command
from unclip.supervisor import Supervisor

WORKER = """
import sys
from contract.settings import Settings
from tests.workers.plain import PlainStages
from workers.main import serve
serve(Settings(), lambda settings: PlainStages(step_seconds=float(sys.argv[1])))
"""


def main(data_dir: str, port: str, step_seconds: str) -> None:
    commands = {name: unclip_command(name) for name in ("api", "webhooks")}
    commands["worker"] = [sys.executable, "-c", WORKER, step_seconds]
    settings = Settings(data_dir=Path(data_dir), port=int(port))
    Supervisor(settings, say=say, commands=commands).run()


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UnclipError as error:
        sys.exit(f"refused: {error}")
