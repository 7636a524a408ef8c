"""Where the harness' webhooks arrive: verifies each post as its owner would, and notes what was told of which job."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

from contract.webhooks import new_secret


class Receiver:
    """A real HTTP server. `told`: of each job, the types of the events that came and were verified, and how often."""

    def __init__(self) -> None:
        self.secret = new_secret()
        self.told: dict[str, Counter[str]] = {}
        self.forged: list[str] = []
        """What came and could not be verified."""
        self.is_refusing = self.is_silent = False
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.webhook = {"url": f"http://127.0.0.1:{self._server.server_port}/hooks", "secret": self.secret}
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def refuse(self) -> None:
        """Answer 503 to everything, and take note of nothing, until `heal`."""
        self.is_refusing = True

    def silence(self) -> None:
        """Take note of everything, and break every connection before the answer, until `heal`."""
        self.is_silent = True

    def heal(self) -> None:
        self.is_refusing = self.is_silent = False

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def note(self, headers: dict[str, str], body: bytes) -> int:
        """Take a post and return the status to answer with."""
        if self.is_refusing:
            return 503
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError as error:
            with self._lock:
                self.forged.append(f"{error}: {body[:200]!r}")
            return 400
        event = json.loads(body)
        with self._lock:
            self.told.setdefault(event["data"]["id"], Counter())[event["type"]] += 1
        return 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.note({name.lower(): value for name, value in self.headers.items()}, body)
                if receiver.is_silent:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        return Handler
