"""Schemathesis over the whole OpenAPI of a real server: `python -m tests.service.fuzzing --examples 250` (`make fuzz`).

The API runs with keys, on a real Valkey and a real folder; painters finish the jobs, so that links between operations lead on.
A program of its own: the server is a thread here and Schemathesis another process, which keeps to its seed.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import uvicorn
from rq import Queue
from rq.serializers import JSONSerializer

from contract.keys import KeyRing
from contract.lanes import LANES, queue_name
from contract.logs import configure_logging
from contract.settings import Settings
from service.app import create_app
from service.patience import patient_protocol
from tests.conftest import MODEL_INDEX, Valkey, free_port, start_valkey, stop, wait_for_port
from tests.service.painter import Painter

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
HOOKS = Path(__file__).with_name("fuzz_hooks.py")
# 501 is the word for a part that the served model does not have.
CONFIG = f'hooks = "{HOOKS}"\n[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "501"]\n'
ALL_PHASES = "examples,coverage,fuzzing,stateful"
_COUNT = re.compile(r"([\d,]+) generated")


@contextmanager
def fuzzable(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve the API for as long as the context lasts; yields its address and a key's token."""
    valkey = Valkey(free_port(), secrets.token_hex(16))
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX))
    with ExitStack() as stack:
        stack.callback(stop, start_valkey(valkey, folder))
        settings = Settings(
            data_dir=folder / "data",
            redis_url=valkey.url,
            model_dir=folder,
            port=free_port(),
            api_keys="required",
            key_rate=None,
            key_read_rate=None,
            sync_wait_seconds=30,
            slow_client_seconds=60,
            queue_connect_timeout_seconds=30,
            queue_reply_timeout_seconds=30,
            outbound_allowed_networks="127.0.0.0/8",  # where nobody listens: no address is waited for
        )
        redis = stack.enter_context(valkey.client())
        made = KeyRing(redis).create("fuzz", ["generate", "read", "admin"])
        for lane in LANES:
            painter = Painter(stack.enter_context(valkey.client()), settings)
            painter.queue = Queue(queue_name(lane, made.key.id), connection=painter.redis, serializer=JSONSerializer)
            stack.enter_context(painter.at_work())
        app = create_app(settings)
        # A busy machine is no outage: what is looked for is what the input does.
        app.state.resources.offload.patience_seconds = 30
        config = uvicorn.Config(app, port=settings.port, log_config=None, http=patient_protocol(60), access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(setattr, server, "should_exit", True)
        wait_for_port(settings.port)
        yield f"http://127.0.0.1:{settings.port}", made.token


def fuzz(
    served: tuple[str, str],
    folder: Path,
    *,
    examples: int,
    phases: str,
    seed: int,
    more: Sequence[str] = (),
    aloud: bool = False,
) -> tuple[int, str]:
    """Run Schemathesis on an address, with a token; return its exit status and its words. aloud: print them as they come."""
    url, token = served
    (folder / "schemathesis.toml").write_text(CONFIG)
    # As a file: Schemathesis waits ten seconds for an address, and a busy machine may need longer for the first reply.
    (folder / "openapi.json").write_text(httpx.get(f"{url}/openapi.json", timeout=120).text)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml"), "run"),
        *(str(folder / "openapi.json"), "--url", url, "--header", f"Authorization: Bearer {token}"),
        *("--checks", ",".join(CHECKS), "--phases", phases, "--max-examples", str(examples), "--seed", str(seed)),
        *("--request-timeout", "60", "--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off", *more),
    ]
    said = []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        for line in running.stdout or ():
            said.append(line)
            if aloud:
                sys.stdout.write(line)
                sys.stdout.flush()
    return running.returncode, "".join(said)


def cases_of(said: str) -> int:
    """Return how many cases a run generated, by its own count."""
    return sum(int(count.replace(",", "")) for count in _COUNT.findall(said))


def main() -> None:
    """Fuzz, print what Schemathesis says, and leave with its status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=250, help="cases for each operation in the phase fuzzing")
    parser.add_argument("--phases", default=ALL_PHASES)
    parser.add_argument("--seed", type=int, default=1)
    asked, more = parser.parse_known_args()
    configure_logging("warning", libraries="error")  # the reason of a 503 is in the log alone
    with tempfile.TemporaryDirectory(prefix="unclip-fuzz-") as name, fuzzable(Path(name)) as served:
        status, said = fuzz(
            served, Path(name), examples=asked.examples, phases=asked.phases, seed=asked.seed, more=more, aloud=True
        )
    sys.stdout.write(f"\n{cases_of(said)} cases, seed {asked.seed}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
