"""The two commands from end to end, over a cascade that paints by rule: what is measured here is the measuring."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from evals import draw as draw_module
from evals import objects, speed
from models.errors import ModelError
from tests.training.data.tiny import TINY, write_tiny_packages
from training.data.build import build
from training.data.sprites import SpriteSet

SETTINGS = draw_module.DrawSettings(steps=2, guidance_scale=1.0, prior_steps=1, prior_guidance_scale=1.0, upsample_steps=1)
ORDER = {"prior": "decoder", "decoder": "upsample_256", "upsample_256": "done"}
SIDE = 24


@dataclass
class PaintedRow:
    prompt: str
    steps: int
    stage: str = "prior"
    step: int = 0
    failure: str | None = None


class PaintStage:
    """One product of two 24 × 24 matrices a step; the decoder takes `steps` of them, the others one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, rows: list[PaintedRow]) -> None:
        for row in rows:
            torch.ones(SIDE, SIDE) @ torch.ones(SIDE, SIDE)
            row.failure = "painted with NaN" if row.prompt == "nothing" else None
            row.step += 1
            if row.step == (row.steps if self.name == "decoder" else 1):
                row.stage, row.step = ORDER[self.name], 0


class Painter:
    """Paints "red square" as it is, and a blue page for anything else."""

    name = "painter"
    stages = {name: PaintStage(name) for name in ORDER}  # noqa: RUF012

    @classmethod
    def load(cls, folder: Path, threads: int | None = None) -> "Painter":
        return cls()

    def admit(self, request) -> PaintedRow:
        return PaintedRow(request.prompt, request.steps)

    def picture(self, row: PaintedRow) -> np.ndarray:
        page = np.full((64, 64, 3), 255, dtype=np.uint8)
        if row.prompt == "red square":
            page[16:48, 16:48] = (255, 0, 0)
        else:
            page[:, :] = (0, 0, 255)
        return page


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    build(write_tiny_packages(tmp_path / "packages"), tmp_path / "data", size_px=64, styles=[TINY])
    monkeypatch.setattr(objects, "Cascade", Painter)
    monkeypatch.setattr(speed, "Cascade", Painter)
    return tmp_path / "data"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("1\tred-square\tred square\n2\tgreen-bar-dark\tgreen bar\n")
    return path


def test_objects_writes_the_figures_the_table_and_the_grid(data_dir, names, tmp_path):
    report = objects.run(tmp_path, data_dir, tmp_path / "out", objects=names, style="tiny", settings=SETTINGS)
    written = json.loads((tmp_path / "out/objects.json").read_text())
    assert [one["rank"] for one in written["objects"]] == [1, report.rankings[1][1].rank]
    assert (written["top1"]["share"], written["sprites"], written["settings"]["steps"]) == (0.5, 3, 2)
    assert "| red square | 1 | 1 | red-square," in (tmp_path / "out/objects.md").read_text()
    assert (tmp_path / "out/objects.png").stat().st_size > 0


def test_all_pictures_are_drawn_before_the_first_sprite_is_read(data_dir, names, tmp_path, monkeypatch):
    drawn_when_read: list[int] = []
    drawn: list[str] = []
    load = SpriteSet.load
    monkeypatch.setattr(objects.SpriteSet, "load", lambda *place: drawn_when_read.append(len(drawn)) or load(*place))
    show = lambda prompt, done, total: drawn.append(prompt)  # noqa: E731
    objects.run(tmp_path, data_dir, tmp_path / "out", objects=names, style="tiny", settings=SETTINGS, progress=show)
    assert (drawn, drawn_when_read) == (["red square", "green bar"], [2])


def test_a_row_that_fails_stops_the_measurement_and_says_where():
    with pytest.raises(ModelError, match="'nothing' with seed 7 failed in prior: painted with NaN"):
        draw_module.draw(Painter(), "nothing", 7, SETTINGS)


def test_speed_counts_the_operations_of_one_decoder_step(data_dir, tmp_path):
    report = speed.run(tmp_path, tmp_path / "out", runs=3, settings=SETTINGS)
    written = json.loads((tmp_path / "out/speed.json").read_text())
    assert report.decoder_gflop_per_step == pytest.approx(2 * SIDE**3 / 1e9)
    assert (report.total.n, list(report.stages)) == (3, ["text", "prior", "decoder", "upsample_256"])
    assert 0 < written["decoder_share"] < 1


def test_attention_counts_its_two_products():
    q, kv = torch.ones(1, 4, 64, 32), torch.ones(1, 4, 48, 32)
    with torch.inference_mode(), speed.flop_counter() as counter:
        torch.nn.functional.scaled_dot_product_attention(q, kv, kv)
    assert counter.get_total_flops() == 2 * (2 * 4 * 64 * 48 * 32)


def test_default_settings_are_the_models_own(tmp_path):
    defaults = {**SETTINGS, "steps": 31}
    (tmp_path / "model_index.json").write_text(json.dumps({"unclip": {"defaults": defaults}}))
    assert draw_module.default_settings(tmp_path)["steps"] == 31


def test_a_model_without_defaults_is_refused_by_its_file(tmp_path):
    with pytest.raises(ModelError, match=r"model_index\.json"):
        draw_module.default_settings(tmp_path)
