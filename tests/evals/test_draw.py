"""One picture, timed; and the settings that a model's own folder recommends."""

import json

import pytest

from evals.draw import default_settings, draw, turbo_settings
from models.errors import ModelError
from tests.evals.painter import SETTINGS, Painter


def test_a_row_that_fails_stops_the_measurement_and_says_where():
    with pytest.raises(ModelError, match="'nothing' with seed 7 failed in prior: painted with NaN"):
        draw(Painter(), "nothing", 7, SETTINGS)


def test_default_settings_are_the_models_own(tmp_path):
    defaults = {**SETTINGS, "steps": 31}
    (tmp_path / "model_index.json").write_text(json.dumps({"unclip": {"defaults": defaults}}))
    assert default_settings(tmp_path)["steps"] == 31


def test_a_model_without_defaults_is_refused_by_its_file(tmp_path):
    with pytest.raises(ModelError, match=r"model_index\.json"):
        default_settings(tmp_path)


def test_turbo_is_the_same_but_for_the_decoder():
    assert turbo_settings(SETTINGS) == {**SETTINGS, "decoder": "turbo"}
