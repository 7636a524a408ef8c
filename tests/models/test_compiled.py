"""Compiled nets draw what torch draws, the same at every start; what is wrong about the package is said in a typed error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import compiled
from models.cascade import Cascade
from models.compiled import Compiler, Graphs, compile_nets
from models.errors import BackendUnusable
from models.graph_files import GraphFiles
from models.row import DONE, DrawRequest
from tests.models.backends import skip_without
from tests.models.tiny import DEFAULTS, add_second_upsampler, write_tiny_model

GUIDED = DrawRequest(prompt="a red apple", seed=7, size_px=1024, **DEFAULTS)
CLOSE_DB, COARSE_DB = 60.0, 25.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_second_upsampler(write_tiny_model(tmp_path_factory.mktemp("compiled") / "model"), steps=2)


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[tuple[Path, np.ndarray]]:
    """Where the graphs of the model lie, and what the cascade drew that made them."""
    pytest.importorskip("openvino")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    graphs = folder.parent / "graphs"
    yield graphs, draw(start(folder, graphs), GUIDED)
    torch.set_num_threads(threads)


def start(folder: Path, graphs: Path) -> Cascade:
    cascade = Cascade.load(folder)
    compile_nets(cascade, Compiler(graphs, "digest"))
    return cascade


def draw(cascade: Cascade, request: DrawRequest) -> np.ndarray:
    row = cascade.admit(request)
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
        assert row.failure is None
    return cascade.picture(row)


def refuse(*_: object) -> None:
    raise AssertionError("a graph was made that should have been read")


def test_compiled_nets_draw_what_torch_draws(folder, first):
    error = np.mean((first[1].astype(float) - draw(Cascade.load(folder), GUIDED)) ** 2)
    assert error == 0 or 10 * np.log10(255**2 / error) > CLOSE_DB


def test_a_coarser_precision_is_told_apart_on_disk_and_draws_nearly_the_same(folder, first, tmp_path):
    skip_without("openvino_bf16")
    cascade = Cascade.load(folder)
    compile_nets(cascade, Compiler(tmp_path, "digest"), "bfloat16")
    small = replace(GUIDED, size_px=256)
    error = np.mean((draw(start(folder, first[0]), small).astype(float) - draw(cascade, small)) ** 2)
    assert error > 0
    assert 10 * np.log10(255**2 / error) > COARSE_DB
    names = {path.name for path in tmp_path.glob("*.graph")}
    fine = {path.name for path in first[0].glob("*.graph")}
    assert {name for name in names & fine if not name.startswith("prior")} == set()
    assert any(name.startswith("prior") for name in names & fine), "the prior is in float32 in either"


def test_a_later_start_reads_the_graphs_and_draws_the_same_pixels(folder, first, monkeypatch):
    graphs, picture = first
    monkeypatch.setattr(compiled, "converted", refuse)
    assert np.array_equal(draw(start(folder, graphs), GUIDED), picture)


def test_a_graph_that_is_not_whole_is_made_anew(folder, first):
    graphs, picture = first
    cut = sorted(graphs.glob("decoder-*.graph"))[0]
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    assert np.array_equal(draw(start(folder, graphs), GUIDED), picture)
    assert GraphFiles(graphs, "").read(cut) is not None
    assert {path.suffix for path in graphs.iterdir()} == {".graph"}


def test_graphs_of_another_model_are_not_taken(folder, first, monkeypatch):
    monkeypatch.setattr(compiled, "converted", refuse)
    with pytest.raises(AssertionError, match="should have been read"):
        compile_nets(Cascade.load(folder), Compiler(first[0], "another digest"))


class Weighed(nn.Module):
    def forward(self, x: Tensor, added: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        x = x if added is None else x + added
        return x if times is None else x * times


@pytest.fixture
def weighed(tmp_path: Path) -> Graphs:
    pytest.importorskip("openvino")
    return Graphs(Compiler(tmp_path, "digest"), Weighed(), "weighed")


def test_inputs_that_lie_turned_in_memory_are_read_as_they_are(weighed):
    """The graph reads them where they lie, and what was laid straight for it has to last until it has."""
    one, other = (torch.rand(300, 200).mT for _ in range(2))
    assert torch.equal(weighed(one, other), one + other)


def test_a_graph_is_of_the_inputs_that_are_given(weighed):
    one, other = torch.rand(3, 2), torch.rand(3, 2)
    assert torch.equal(weighed(one, other, None), one + other)
    assert torch.equal(weighed(one, None, other), one * other)


def test_what_the_package_refuses_is_said(weighed):
    weighed._compiler.options["NO_SUCH_OPTION"] = "1"
    with pytest.raises(BackendUnusable, match="OpenVINO refuses weighed"):
        weighed(torch.rand(3, 2))


def test_a_processor_without_bfloat16_is_told_at_the_start(folder, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    compiler = Compiler(tmp_path, "digest")
    monkeypatch.setattr(compiler, "_capabilities", ["FP32"])
    with pytest.raises(BackendUnusable, match="does not compute in bfloat16"):
        compile_nets(Cascade.load(folder), compiler, "bfloat16")


def test_without_the_package_the_way_out_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnusable, match="openvino is not installed"):
        Compiler(tmp_path, "digest")
