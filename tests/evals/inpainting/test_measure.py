"""Inpainting measured: a judge looks inside the mask, and what was known is checked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from evals.inpainting.cases import Case
from evals.inpainting.measure import TRUTH, How, Painted, found, gains_table, kept, run, shares_table
from evals.judges.judges import Seen, SeenObject
from models.checkpoint import load_part, save_part, write_manifest
from models.errors import InpaintingError
from models.nets.widen import widen_weight
from tests.models.tiny import write_tiny_model

RED, BLUE = np.array([200, 0, 0], dtype=np.uint8), np.array([0, 0, 200], dtype=np.uint8)


class ColourJudge:
    """Sees one object in every picture, where it was told, and calls it red or blue after the pixel there."""

    def __init__(self, x: float = 0.2, y: float = 0.2) -> None:
        self.x, self.y = x, y

    def scene(self, pixels: torch.Tensor) -> list[Seen]:
        colours = pixels[:, :, int(self.y * 64), int(self.x * 64)].tolist()
        return [self._seen("red" if red > blue else "blue") for red, _, blue in colours]

    def group(self, concept: str) -> str:
        return concept

    def _seen(self, name: str) -> Seen:
        return Seen((SeenObject(name, ("green", name), None, self.x, self.y, 0.3, 0.9),), "plain blue")


def case(size: str, concept: str = "red") -> Case:
    """A red square at the upper left of a blue picture."""
    side = {"small": 20, "medium": 30, "large": 44}[size]
    picture, mask = np.full((64, 64, 3), BLUE), np.zeros((64, 64), dtype=np.bool_)
    mask[2 : 2 + side, 2 : 2 + side] = True
    picture[mask] = RED
    return Case(size, 5, concept, {"full": "a b", "simple": "a", "empty": ""}, picture, mask)  # type: ignore[arg-type]


def widened(folder: Path, seed: int) -> Path:
    """A tiny model whose decoder takes a picture and a mask."""
    write_tiny_model(folder, seed=seed)
    config, tensors = load_part(folder / "decoder")
    tensors["conv_in.weight"] = widen_weight(tensors["conv_in.weight"], 7 * 16)
    save_part(folder / "decoder", config | {"in_channels": 7}, tensors)
    write_manifest(folder)
    return folder


def test_what_was_named_must_be_seen() -> None:
    cases = [case(size, concept) for size in ("small", "large") for concept in ("red", "blue")]
    assert found([one.picture for one in cases], cases, ColourJudge()) == [True, False, True, False]


def test_it_must_be_seen_inside_the_mask() -> None:
    outside = case("small", "blue")
    assert found([outside.picture], [outside], ColourJudge(0.9, 0.9)) == [False]


def test_two_models_are_drawn_judged_and_compared(tmp_path: Path) -> None:
    models = {"object": widened(tmp_path / "a", 0), "random": widened(tmp_path / "b", 1)}
    cases = [case(size) for size in ("small", "medium", "large")]
    seen: list[tuple[float, float]] = []
    how = How(modes=("constant", "interval"))
    report = run(models, cases, ColourJudge(), tmp_path / "out", how, lambda doing, done, total: seen.append((done, total)))
    assert seen[-1] == (9, 9)
    assert report.figures[-1].interval.value == 1
    assert len(report.details) == 3 + 2 * 3 * 3 + 3
    assert json.loads((tmp_path / "out" / "inpainting.json").read_text())["part"] == "inpainting"
    assert (tmp_path / "out" / "inpainting.png").is_file()
    written = (tmp_path / "out" / "inpainting.md").read_text()
    assert "random, simple prompt" in written
    assert "object, interval, simple prompt" in written
    assert "object minus random, empty prompt" in written


def test_a_model_without_the_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InpaintingError):
        run({"plain": write_tiny_model(tmp_path / "tiny")}, [case("small")], ColourJudge(), tmp_path / "out")


def test_the_tables_tell_shares_and_paired_differences() -> None:
    one, other = case("small"), case("small")
    verdicts = {"object": (True, True), "random": (True, False)}
    painted = [Painted(of, TRUTH, "full", of.picture, True) for of in (one, other)]
    for size in ("medium", "large"):
        painted += [Painted(of, TRUTH, "full", of.picture, True) for of in [case(size)]]
    for model, prompt in [(model, prompt) for model in verdicts for prompt in ("full", "simple", "empty")]:
        painted += [
            Painted(of, model, prompt, of.picture, is_found)  # type: ignore[arg-type]
            for of, is_found in zip((one, other), verdicts[model], strict=True)
        ]
        painted += [Painted(case(size), model, prompt, case(size).picture, False) for size in ("medium", "large")]  # type: ignore[arg-type]
    shares, gains = shares_table(painted).splitlines(), gains_table(painted, "object", "random").splitlines()
    assert shares[2].startswith(f"| {TRUTH} | 100 %")
    assert shares[3].startswith("| object, full prompt | 100 %")
    assert shares[4].startswith("| random, full prompt | 50 %")
    assert gains[2].startswith("| object minus random, full prompt | 50 %")


def test_a_changed_known_pixel_is_noticed() -> None:
    touched = case("small")
    pixels = touched.picture.copy()
    pixels[63, 63] = 0
    assert kept([Painted(touched, "object", "full", pixels, True)]).interval.value == 0
