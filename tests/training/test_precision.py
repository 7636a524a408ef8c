"""bfloat16 is used where it is asked for and the processor has it; emulated, it would be several times slower than float32."""

from __future__ import annotations

import pytest
import torch

from training.precision import computes_bf16, mixed_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("has", "computes"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"neon": True, "bf16": True}, True),
        ({"neon": True}, False),
    ],
)
def test_it_is_used_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], computes: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert computes_bf16(CPU) is computes
    for asked in (True, False):
        with mixed_precision(CPU, bf16=asked):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert (product.dtype == torch.bfloat16) is (asked and computes)


def test_a_torch_that_cannot_tell_does_as_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert computes_bf16(CPU)
