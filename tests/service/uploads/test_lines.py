"""Whose picture is read next: counted in turns, without a picture."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from contract.errors import UploadsBusy
from contract.spec import LOCAL_KEY
from service.uploads.lines import AT_ONCE, MAX_WAITING, Lines


class Desk:
    """Pictures that come and take their turn; who was let in stays until told to go."""

    def __init__(self) -> None:
        self.lines, self.inside, self.busy = Lines(), list[str](), list[str]()
        self._leave: dict[str, anyio.Event] = {}

    async def bring(self, name: str) -> None:
        """Picture `name` of the key that its first letters are."""
        self._leave[name] = anyio.Event()
        try:
            async with self.lines.turn(name.rstrip("0123456789")):
                self.inside.append(name)
                await self._leave[name].wait()
                self.inside.remove(name)
        except UploadsBusy:
            self.busy.append(name)

    async def done(self, name: str) -> None:
        self._leave[name].set()
        await wait_all_tasks_blocked()


def at_the_desk(names: Sequence[str], test: Callable[[Desk], Awaitable[None]]) -> None:
    """Bring pictures, one behind the other, and run a test beside them."""

    async def run() -> None:
        desk = Desk()
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(desk.bring, name)
                await wait_all_tasks_blocked()
            await test(desk)
            group.cancel_scope.cancel()
        assert not desk.lines._lines, "nothing is kept of a key whose pictures have gone"

    anyio.run(run)


def test_one_keys_pictures_wait_for_each_other_and_another_keys_for_none_of_them() -> None:
    async def test(desk: Desk) -> None:
        assert desk.inside == ["ann1", "bob1"]

    at_the_desk(["ann1", "ann2", "ann3", "bob1"], test)


def test_whoever_comes_last_waits_for_one_of_each_key_before() -> None:
    async def test(desk: Desk) -> None:
        order = []
        while desk.inside:
            order.append(desk.inside[0])
            await desk.done(desk.inside[0])
        assert order.index("cat1") == 2
        assert [name for name in order if name.startswith("ann")] == ["ann1", "ann2", "ann3", "ann4"]

    at_the_desk(["ann1", "ann2", "ann3", "ann4", "bob1", "bob2", "cat1"], test)


def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    async def test(desk: Desk) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(desk.bring, "ann2")
            await wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        await desk.done("ann1")
        assert desk.inside == []

    at_the_desk(["ann1"], test)


def test_without_api_keys_every_place_is_taken() -> None:
    async def test(desk: Desk) -> None:
        assert len(desk.inside) == AT_ONCE

    at_the_desk([LOCAL_KEY + str(number) for number in range(3)], test)


@pytest.mark.parametrize("key", ["ann", LOCAL_KEY])
def test_one_key_fills_no_more_than_half_the_line_unless_there_are_no_keys(key: str) -> None:
    async def test(desk: Desk) -> None:
        assert len(desk.busy) == 1
        assert ("bob1" in desk.inside) == (key == "ann")

    most = 1 + MAX_WAITING // 2 if key == "ann" else AT_ONCE + MAX_WAITING
    names = [f"{key}{number}" for number in range(most + (key == "ann"))]
    at_the_desk([*names, "bob1"], test)
