"""How much work a job is."""

from __future__ import annotations

import pytest

from contract.spec import EncodeSpec, ImageSource, UpscaleSpec, VarySpec
from contract.work import work_of
from tests.workers.plain import make_spec

COMMON = {"model": "m", "size": "256x256", "seed": 1, "steps": 10, "guidance_scale": 1.0, "upsample_steps": 2}
SOURCE = ImageSource(id="a")


def test_pictures_and_steps_are_what_counts():
    one = make_spec(n=1, steps=10)
    assert work_of(make_spec(n=4, steps=10)) == pytest.approx(4 * work_of(one))
    assert work_of(make_spec(n=1, steps=100)) > 3 * work_of(one)


@pytest.mark.parametrize(
    "fields", [{"guidance_scale": 2.0}, {"size": "1024x1024"}, {"prior_guidance_scale": 3.0}, {"prior_candidates": 4}]
)
def test_what_costs_more_is_more_work(fields):
    plain = {"guidance_scale": 1.0, "prior_guidance_scale": 1.0, "prior_candidates": 1, "steps": 40}
    assert work_of(make_spec(**plain | fields)) > work_of(make_spec(**plain))


@pytest.mark.parametrize("fields", [{"decoder": "turbo"}, {"stop_at": "decoder"}, {"conditioning": "tokens"}])
def test_what_leaves_something_out_is_less_work(fields):
    assert work_of(make_spec(steps=40, **fields)) < work_of(make_spec(steps=40))


def test_an_inversion_counts_once_however_many_pictures_start_there():
    one, two = (work_of(VarySpec(source=SOURCE, n=n, **COMMON)) for n in (1, 2))
    assert two - one == pytest.approx(one - 50)
    assert work_of(EncodeSpec(source=SOURCE, **COMMON)) == pytest.approx(one)


def test_to_enlarge_needs_no_decoder():
    assert work_of(UpscaleSpec(source=SOURCE, **COMMON)) == work_of(UpscaleSpec(source=SOURCE, **COMMON | {"steps": 200}))
