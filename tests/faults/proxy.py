"""A small TCP proxy that misbehaves on request: latency, resets, half-open connections, cuts in the middle of a message."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

CHUNK_BYTES = 65536
Side = Literal["server", "client"]
T = TypeVar("T")


class FaultProxy:
    """Runs any number of links in one thread with an event loop of its own. Use as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._links: list[Link] = []

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._links:
            self._await(link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def link(self, port: int) -> Link:
        """Return a new link to the server at the local `port`."""
        link = Link(port, self._on_loop)
        self._await(link.open())
        self._links.append(link)
        return link

    def _on_loop(self, call: Callable[[], None]) -> None:
        async def do() -> None:
            call()

        self._await(do())

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class Link:
    """One listening port before one server. Faults hold from when they are asked for until `heal`; any thread may ask."""

    def __init__(self, server_port: int, on_loop: Callable[[Callable[[], None]], None]) -> None:
        self.server_port = server_port
        self.port = 0
        self.carried: Counter[Side] = Counter()
        """Bytes so far, by the side they went to."""
        self._on_loop = on_loop
        self._wires: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_down = False
        self._latency_seconds = 0.0
        self._cut_after: dict[Side, int] = {}
        self._flowing = asyncio.Event()
        self._flowing.set()

    # What a test asks for.

    def delay(self, seconds: float) -> None:
        """Let every piece that travels, in either direction, take this much longer."""
        self._on_loop(lambda: setattr(self, "_latency_seconds", seconds))

    def reset(self) -> None:
        """Break every connection there is, as a restarted router does; new ones work."""
        self._on_loop(self._break)

    def down(self) -> None:
        """Break every connection, and each new one at once."""
        self._on_loop(self._go_down)

    def silence(self) -> None:
        """Half-open: connections stay, are even accepted, and nothing arrives. What was sent meanwhile arrives after `heal`."""
        self._on_loop(self._flowing.clear)

    def cut(self, after_bytes: int, towards: Side = "server") -> None:
        """Let so many more bytes pass towards one side, over all connections together, then break that connection, once."""
        self._on_loop(lambda: self._cut_after.update({towards: after_bytes}))

    def heal(self) -> None:
        """Work as a wire does."""
        self._on_loop(self._heal)

    # On the loop.

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        self._break()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _break(self) -> None:
        for wire in list(self._wires):
            wire.transport.abort()

    def _go_down(self) -> None:
        self._is_down = True
        self._break()

    def _heal(self) -> None:
        self._is_down = False
        self._latency_seconds = 0.0
        self._cut_after.clear()
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        mine = {writer}
        self._wires.add(writer)
        try:
            if not self._is_down:
                await self._join(reader, writer, mine)
        except (OSError, asyncio.CancelledError):
            pass  # the server is away, or the link closes: for the client the connection breaks either way
        finally:
            for wire in mine:
                wire.transport.abort()
            self._wires -= mine
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mine: set[asyncio.StreamWriter]) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        mine.add(server_writer)
        self._wires.add(server_writer)
        there = asyncio.ensure_future(self._pump(reader, server_writer, "server"))
        back = asyncio.ensure_future(self._pump(server_reader, writer, "client"))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in (there, back):
                pump.cancel()
            await asyncio.gather(there, back, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, towards: Side) -> None:
        """Carry bytes one way until either end closes, or a cut is due."""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                if self._latency_seconds:
                    await asyncio.sleep(self._latency_seconds)
                left = self._cut_after.get(towards)
                if left is not None and left <= len(data):
                    del self._cut_after[towards]
                    writer.write(data[:left])
                    await writer.drain()
                    return
                if left is not None:
                    self._cut_after[towards] = left - len(data)
                self.carried[towards] += len(data)
                writer.write(data)
                await writer.drain()
