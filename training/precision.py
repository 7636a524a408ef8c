"""Arithmetic in bfloat16, where the processor has it."""

from __future__ import annotations

import torch

OWN = ("amx_bf16", "avx512_bf16", "bf16")
"""What processors with bfloat16 instructions call them, as torch reports it: the last one is Arm's."""


def computes_bf16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 itself. Other CPUs emulate it, several times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not hasattr(torch.cpu, "get_capabilities"):  # a torch that cannot tell
        return True
    own = torch.cpu.get_capabilities()
    return any(own.get(name) for name in OWN)


def mixed_precision(device: torch.device, *, bf16: bool = True) -> torch.autocast:
    """Autocast to bfloat16 where it is asked for and pays; float32 else."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16 and computes_bf16(device))
