"""The bench's straightforward loop is a fair arm only while it draws what the engine draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.plain_loop import draw
from models.cascade import Cascade
from models.row import DONE, DrawRequest
from tests.models.tiny import write_tiny_model


def test_the_plain_loop_draws_the_engines_picture(tmp_path: Path):
    cascade = Cascade.load(write_tiny_model(tmp_path / "model"))
    request = DrawRequest("a red apple", 3, 3, guidance_scale=2.0, prior_steps=2, prior_guidance_scale=2.0, upsample_steps=2)
    row = cascade.admit(request)
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
    difference = np.abs(cascade.picture(row).astype(int) - draw(cascade, request))
    # Rows meet the net together here and alone there: kernels may round differently.
    assert difference.max() <= 1
