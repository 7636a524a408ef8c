"""Half-written files at the top of the data folder."""

from __future__ import annotations

import os

from workers.leftovers import UNFINISHED_SECONDS, remove_leftovers

NOW = 1_800_000_000.0
LEFT = ("c2pa-key.4711.part", "c2pa-certificate.4711.part", ".calibration.json.tmp")
OTHERS = ("c2pa-key.pem", "calibration.json", "notes.part", "valkey.conf")


def test_old_ones_go_and_nothing_else(tmp_path):
    for name in (*LEFT, *OTHERS):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (NOW - UNFINISHED_SECONDS - 1,) * 2)
    os.utime(tmp_path / LEFT[0], (NOW - 1,) * 2)
    assert remove_leftovers(tmp_path, NOW) == 2
    assert {path.name for path in tmp_path.iterdir()} == {LEFT[0], *OTHERS}
    assert remove_leftovers(tmp_path / "missing", NOW) == 0
