"""The queue of an installation, for commands that look into it: the Redis that is set, or the data folder's own Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from redis import Redis

from contract.connection import connect
from contract.settings import Settings
from unclip.errors import DataFolderInUse
from unclip.lock import hold_data_folder

STOP_SECONDS = 10.0


@contextmanager
def reach_queue(settings: Settings) -> Iterator[Redis]:
    """Yield a client of the queue. An embedded Valkey that nobody runs is started for as long as the context lasts.

    Raises StartFailed when it does not start, DataFolderInUse when it is just being started by another.
    """
    with ExitStack() as stack:
        url = settings.redis_url or stack.enter_context(_own_valkey(settings))
        yield stack.enter_context(connect(url, settings))


@contextmanager
def _own_valkey(settings: Settings) -> Iterator[str]:
    from unclip.embedded_valkey import EmbeddedValkey, url_in_use  # images for a Redis of one's own do not have it

    with ExitStack() as stack:
        try:
            stack.enter_context(hold_data_folder(settings.data_dir, "a command"))
        except DataFolderInUse:
            url = url_in_use(settings)
            if url is None:
                raise
            yield url
            return
        valkey = EmbeddedValkey(settings)
        try:
            valkey.start()
            yield valkey.url
        finally:
            # An orderly stop: it writes what it has been told.
            valkey.child.ask_to_stop()
            if not valkey.child.wait(STOP_SECONDS):
                valkey.child.kill()
