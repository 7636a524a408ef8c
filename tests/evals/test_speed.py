"""`unclip eval speed` over a cascade that paints by rule."""

import json

import pytest
import torch

from evals import speed
from tests.evals.painter import SETTINGS, SIDE, Painter


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "Cascade", Painter)
    monkeypatch.setattr(speed, "matrix_rate", lambda: 1e12)


def test_speed_counts_the_operations_of_one_decoder_step(painter, tmp_path):
    report = speed.run(tmp_path, tmp_path / "out", runs=3, settings=SETTINGS)
    written = json.loads((tmp_path / "out/speed.json").read_text())
    assert report.decoder_gflop_per_step == pytest.approx(2 * SIDE**3 / 1e9)
    assert (report.timings[0].total.n, list(report.timings[0].stages)) == (3, ["text", "prior", "decoder", "upsample_256"])
    assert 0 < written["decoder_share"] < 1


def test_a_way_is_timed_for_each_part_that_the_model_has():
    whats = [what for what, _ in speed.ways(Painter(("decoder_turbo", "upsample_1024")), SETTINGS)]
    assert whats == ["256 px", "256 px, turbo", "1024 px", "1024 px, turbo"]
    assert [what for what, _ in speed.ways(Painter(), SETTINGS)] == ["256 px"]


def test_a_table_shows_each_stages_steps():
    timing = speed.timed(Painter(("decoder_turbo",)), "turbo", {**SETTINGS, "decoder": "turbo"}, 2, None)
    assert timing.steps == {"prior": 1, "decoder_turbo": 1, "upsample_256": 1}
    assert "| decoder_turbo | 1 | " in timing.to_markdown()


def test_attention_counts_its_two_products():
    q, kv = torch.ones(1, 4, 64, 32), torch.ones(1, 4, 48, 32)
    with torch.inference_mode(), speed.flop_counter() as counter:
        torch.nn.functional.scaled_dot_product_attention(q, kv, kv)
    assert counter.get_total_flops() == 2 * (2 * 4 * 64 * 48 * 32)
