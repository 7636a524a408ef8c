"""The settings of a bench's own service."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bench import __main__ as benches
from bench import bombs, flood, overload, submit
from bench.stack import Stack


@pytest.mark.parametrize("name", ["UNCLIP_PROVENANCE", "UNCLIP_MAX_QUEUE_DEPT"])
def test_a_variable_that_is_no_setting_stops_the_bench(tmp_path, name):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Stack(tmp_path, {name: "off"})


@pytest.mark.parametrize("settings", [benches.OFF, overload.SETTINGS, flood.SETTINGS])
def test_bare_arms_have_no_credentials_and_no_picture_filter(tmp_path, settings):
    bare = Stack(tmp_path, settings).settings
    assert (bare.content_credentials, bare.picture_filter) == ("off", False)


@pytest.mark.parametrize("settings", [{}, submit.SETTINGS, bombs.SETTINGS])
def test_other_arms_have_both(tmp_path, settings):
    full = Stack(tmp_path, settings).settings
    assert (full.content_credentials, full.picture_filter) == ("on", True)
