"""Graphs on disk: whole or not there, and gone when nobody has read them for long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.graph_files import UNFINISHED_SECONDS, UNREAD_SECONDS, GraphFiles

NOW = 1_800_000_000.0
THEIRS = GraphFiles(Path(), "yesterday").path("prior", "").name


@pytest.fixture
def files(tmp_path: Path) -> GraphFiles:
    return GraphFiles(tmp_path / "graphs", "today", clock=lambda: NOW)


def put(files: GraphFiles, name: str, age_seconds: float) -> Path:
    files.folder.mkdir(exist_ok=True)
    path = files.folder / name
    path.write_bytes(b"x")
    os.utime(path, (NOW - age_seconds,) * 2)
    return path


def test_what_is_kept_is_read_again_and_a_cut_file_is_not(files):
    path = files.path("decoder", "(1, 3)")
    assert files.read(path) is None
    files.keep(path, b"graph")
    assert files.read(path) == b"graph"
    path.write_bytes(path.read_bytes()[:-1])
    assert files.read(path) is None
    assert [each.name for each in files.folder.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "kept_seconds"),
    [
        pytest.param("prior-0123456789abcdef0123456789abcdef.graph", UNREAD_SECONDS, id="a graph as releases before named it"),
        pytest.param(THEIRS, UNREAD_SECONDS, id="a graph of another setup"),
        pytest.param("tmpab_12xyz", UNFINISHED_SECONDS, id="half a graph of releases before"),
        pytest.param("tmpab_12xyz.part", UNFINISHED_SECONDS, id="half a graph"),
    ],
)
def test_what_nobody_needs_goes_when_its_time_is_up_and_not_before(files, name, kept_seconds):
    path = put(files, name, kept_seconds - 1)
    assert (files.sweep(), path.exists()) == (0, True)
    put(files, name, kept_seconds + 1)
    assert (files.sweep(), path.exists()) == (1, False)


def test_a_graph_that_is_read_is_not_old(files):
    """Another worker, of another setup, starts from it."""
    theirs = GraphFiles(files.folder, "yesterday", clock=lambda: NOW)
    path = theirs.path("prior", "")
    theirs.keep(path, b"graph")
    os.utime(path, (NOW - 2 * UNREAD_SECONDS,) * 2)
    assert theirs.read(path) == b"graph"
    assert files.sweep() == 0


def test_own_graphs_and_what_is_none_of_ours_stay_however_old(files):
    kept = [put(files, name, 10 * UNREAD_SECONDS) for name in (files.path("prior", "").name, "notes.txt")]
    assert files.sweep() == 0
    assert all(path.exists() for path in kept)


def test_a_folder_that_is_not_there_is_no_error(files):
    assert files.sweep() == 0
