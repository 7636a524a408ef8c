"""The arms of the filter bench are what their names say."""

from __future__ import annotations

import pytest

from bench.filters import new_prompt
from contract.settings import Settings
from tests.service.filtered_api import GUARDS


@pytest.mark.parametrize(("arm", "refuses", "reads_meaning"), [("off", 0, 0), ("terms", 1, 0), ("whole", 1, 1)])
def test_an_arm_has_its_part_of_the_filter(arm, refuses, reads_meaning):
    guard, prompt = GUARDS[arm](Settings()), new_prompt(3)
    assert guard.check("hardcore porn").allowed != refuses
    assert guard.check(prompt).allowed
    assert any(guard.check(prompt).scores.values()) == reads_meaning
    assert guard.remembers(new_prompt(4)) == (arm == "off")


def test_no_prompt_comes_twice():
    assert len({new_prompt(number) for number in range(5000)}) == 5000
