"""Long work tells how far it is in a log too: seldom, and never nothing."""

from __future__ import annotations

import pytest

from unclip.long_work import LINE_SECONDS, lines, progress_bar


def test_a_log_gets_the_first_look_then_one_every_so_often_and_the_end() -> None:
    written: list[str] = []
    now = [0.0]
    show = lines(written.append, lambda: now[0])
    for second in range(40):
        now[0] = float(second)
        show(f"decoder {second}", second, 100)
    show("decoder 40", 100, 100)
    assert written == [
        "decoder 0  0%",
        f"decoder {LINE_SECONDS:.0f}  15%",
        f"decoder {2 * LINE_SECONDS:.0f}  30%",
        "decoder 40  100%",
    ]


def test_what_is_no_terminal_gets_lines_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as show:
        show("eval [bold] :smile:", 1, 4)
    assert capsys.readouterr().err == "eval [bold] :smile:  25%\n"
