"""Progress of long work: one moving bar on a terminal, a line every so often in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_SECONDS = 15.0
Show = Callable[[str, float, float], None]
"""Called as show(doing, done, total)."""


@contextmanager
def progress_bar() -> Iterator[Show]:
    """Yield `show(doing, done, total)`, which moves one bar; it begins anew when `done` does."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(lambda line: console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True))
        return
    columns = (TextColumn("{task.description:<32.32}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=None, visible=False)
        yield lambda doing, done, total: progress.update(bar, description=doing, completed=done, total=total, visible=True)


def lines(write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Show:
    """`show` as lines with the share done: the first call's, then one every `LINE_SECONDS`, and each end."""
    next_at = float("-inf")

    def show(doing: str, done: float, total: float) -> None:
        nonlocal next_at
        if clock() >= next_at or done >= total:
            next_at = clock() + LINE_SECONDS
            write(f"{doing}  {done / total:.0%}")

    return show
