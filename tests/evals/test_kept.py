"""What was drawn is not drawn again, unless the model or what was asked for is another."""

from pathlib import Path

import numpy as np

from evals.kept import Kept, digest


def test_a_picture_is_made_once_for_each_model_and_request(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> np.ndarray:
        made.append(len(made))
        return np.full((4, 4, 3), len(made), dtype=np.uint8)

    (tmp_path / "manifest.json").write_text("{}")
    kept = Kept(tmp_path, tmp_path / "kept")
    first, again = (kept.picture(["vary", 7], make) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    kept.picture(["vary", 8], make)
    (tmp_path / "manifest.json").write_text("{ }")
    Kept(tmp_path, tmp_path / "kept").picture(["vary", 7], make)
    assert made == [0, 1, 2]
    assert digest(first) != digest(first + np.uint8(1))
