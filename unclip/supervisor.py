"""`unclip serve`: an embedded Valkey, one engine worker and the API, started, looked after and stopped in order."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from contract.errors import SettingsWrong
from contract.settings import Settings
from unclip.embedded_valkey import EmbeddedValkey
from unclip.errors import StartFailed
from unclip.lock import hold_data_folder
from unclip.ports import answers, base_url, free_port, why_not_free
from unclip.processes import Child, unclip_command
from workers.backoff import Backoff

Say = Callable[[str], None]
LOOK_SECONDS = 0.1
API_GRACE_SECONDS = 3.0  # for replies under way once the worker has drained
WEBHOOKS_GRACE_SECONDS = 16.0  # a receiver may take 15 s to answer
DRAIN_MARGIN_SECONDS = 5.0  # beyond drain_seconds, before a part that does not stop is killed
HURRIED_SECONDS = 2.0  # for each part, after a second Ctrl-C
SETTLED_SECONDS = 30.0  # a part that gives up by itself earlier than this has a fault that another start will not mend
HEALTHY_SECONDS = 60.0  # a part that ran this long is started again without a long wait


@dataclass
class Part:
    """A child with what is needed to start it again."""

    child: Child
    backoff: Backoff = field(default_factory=lambda: Backoff(first_seconds=0.5, most_seconds=30.0))
    started_at: float = 0.0
    start_again_at: float | None = None
    has_settled: bool = False


class Supervisor:
    """Owns the processes of one home installation. Children are started from the main thread only.

    say: is told what happens, a line at a time. commands: what runs as `worker` and as `api`.
    """

    def __init__(self, settings: Settings, say: Say, commands: Mapping[str, Sequence[str]] | None = None) -> None:
        # A host that cannot be listened on is refused with the port, in `run`.
        port = settings.port or free_port()
        self.settings = settings.model_copy(update={"port": port})
        self.say = say
        self.commands = commands or {name: unclip_command(name) for name in ("worker", "api", "webhooks")}
        self.parts: dict[str, Part] = {}
        self._stop_requests = 0
        self._is_announced = False

    @property
    def url(self) -> str:
        """Where the API is reached from this machine."""
        return base_url(self.settings.host, self.settings.port)

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM; then drain, stop everything and return.

        Raises DataFolderInUse, SettingsWrong, or StartFailed; whatever was started has been stopped by then.
        """
        with hold_data_folder(self.settings.data_dir, self.url), self._signals():
            if reason := why_not_free(self.settings.host, self.settings.port):
                where = f"port {self.settings.port} on {self.settings.host}"
                raise SettingsWrong(f"{where} cannot be listened on: {reason}; choose another with --port or --host")
            try:
                self._start()
                while not self._stop_requests:
                    self._look_after()
                    time.sleep(LOOK_SECONDS)
            finally:
                self._stop()

    def ask_to_stop(self) -> None:
        """Ask for an orderly stop; asked again during the drain, hand unfinished work back and stop at once."""
        self._stop_requests += 1

    def _start(self) -> None:
        redis_url = self.settings.redis_url
        if redis_url is None:
            valkey = EmbeddedValkey(self.settings)
            self.parts["valkey"] = Part(valkey.child, started_at=time.monotonic())
            valkey.start()
            self.say(f"valkey {valkey.child.pid} keeps the queue in {valkey.folder}")
            redis_url = valkey.url
        env = child_environment(self.settings, redis_url)
        for name, command in self.commands.items():
            self.parts[name] = Part(Child(name, command, env))
            self._start_part(self.parts[name])

    def _start_part(self, part: Part) -> None:
        part.child.start()
        part.started_at, part.start_again_at = time.monotonic(), None
        self.say(f"{part.child.name} {part.child.pid} starts")

    def _look_after(self) -> None:
        """Start again what died, and tell once when the API answers."""
        for part in self.parts.values():
            if part.child.is_running:
                part.has_settled |= time.monotonic() - part.started_at >= SETTLED_SECONDS
            elif part.start_again_at is None:
                self._plan_restart(part)
            elif time.monotonic() >= part.start_again_at:
                self._start_part(part)
        if not self._is_announced and answers(self.settings.host, self.settings.port):
            self._is_announced = True
            self.say(f"unclip is at {self.url} (interactive docs: {self.url}/docs); Ctrl-C drains and stops it")

    def _plan_restart(self, part: Part) -> None:
        name, ending = part.child.name, part.child.ending()
        gave_up_by_itself = (part.child.exit_code or 0) >= 0
        if gave_up_by_itself and not part.has_settled:
            raise StartFailed(f"the {name} stopped while starting ({ending}); its own message is in the log above")
        now = time.monotonic()
        if now - part.started_at >= HEALTHY_SECONDS:
            part.backoff.reset()
        delay = part.backoff.next_seconds()
        part.start_again_at = now + delay
        self.say(f"{name} died ({ending}); starting it again in {delay:.1f} s")

    def _stop(self) -> None:
        """Stop in order: the API takes no more, the worker finishes what it has, the queue goes last."""
        if not self.parts:
            return
        drain = self.settings.drain_seconds
        self.say(f"stopping: work in hand may take up to {drain:.0f} s more (Ctrl-C again hands it back at once)")
        asked_before = self._stop_requests
        # The API goes on answering requests that wait for the worker's last pictures, so the two are asked together.
        for name in ("api", "worker"):
            self._ask(name)
        self._wait_for("worker", drain + DRAIN_MARGIN_SECONDS, asked_before)
        self._wait_for("api", API_GRACE_SECONDS, asked_before)
        # What the last jobs became is still to be told; the rest waits in the queue's file.
        self._ask("webhooks")
        self._wait_for("webhooks", WEBHOOKS_GRACE_SECONDS, asked_before)
        self._ask("valkey")
        self._wait_for("valkey", DRAIN_MARGIN_SECONDS, asked_before)
        self.say("stopped")

    def _ask(self, name: str) -> None:
        if name in self.parts:
            self.parts[name].child.ask_to_stop()

    def _wait_for(self, name: str, seconds: float, asked_before: int) -> None:
        """Wait for a part to end, and kill it when its time is over. Another Ctrl-C asks it again, and cuts the time short."""
        if name not in self.parts:
            return
        child, deadline, is_hurried = self.parts[name].child, time.monotonic() + seconds, False
        while not child.wait(LOOK_SECONDS):
            if self._stop_requests > asked_before and not is_hurried:
                is_hurried, deadline = True, min(deadline, time.monotonic() + HURRIED_SECONDS)
                child.ask_to_stop()
            if time.monotonic() > deadline:
                self.say(f"{name} does not stop; killing it")
                child.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def handle(_number: int, _frame: FrameType | None) -> None:
            self.ask_to_stop()

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def child_environment(settings: Settings, redis_url: str) -> Mapping[str, str]:
    """Return our environment plus what was decided here, so that every child reads the same settings."""
    decided = {
        "UNCLIP_DATA_DIR": str(settings.data_dir.resolve()),
        "UNCLIP_HOST": settings.host,
        "UNCLIP_PORT": str(settings.port),
        "UNCLIP_REDIS_URL": redis_url,
        "PYTHONUNBUFFERED": "1",  # a child's last words must not die in its buffer
    }
    return {**os.environ, **decided}
