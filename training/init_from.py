"""Starting from weights that were trained before: what of a model folder's part fits a net."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import CONFIG, load_part
from models.errors import CheckpointError
from models.nets.widen import widen_weight

CONV_IN = "conv_in.weight"


@dataclass(frozen=True)
class Start:
    """Which of a net's tensors start from stored ones, by name, sorted.

    taken: as they are. widened: with zeros for the input channels that they lack. left: not there, or of another shape; these
    keep what the net was built with. unused: stored, but the net has none of that name.
    """

    taken: tuple[str, ...]
    widened: tuple[str, ...]
    left: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        total = len(self.taken) + len(self.widened) + len(self.left)
        of = f"{len(self.taken) + len(self.widened)} of {total} tensors"
        return of + (f", new input channels in {', '.join(self.widened)}" if self.widened else "")


def start_from(net: nn.Module, folder: Path, part: str) -> Start:
    """Fill `net`, in place, with the tensors of a model folder's part that have its names and shapes.

    Where a UNet's first convolution has more input channels than the stored one, it gets the stored ones and zeros after them,
    so that its output does not change by them (`models.nets.widen`). A part that the folder does not have fills nothing.
    Raises CheckpointError for a folder that does not exist and for a part that cannot be read.
    """
    if not folder.is_dir():
        raise CheckpointError(f"there is no model folder {folder} to start from")
    stored = load_part(folder / part)[1] if (folder / part / CONFIG).exists() else {}
    return fill(net, stored)


@torch.no_grad()
def fill(net: nn.Module, stored: dict[str, Tensor]) -> Start:
    """Copy what fits of `stored` into `net`, in place."""
    taken, widened, left = [], [], []
    own = net.state_dict()
    for name, tensor in own.items():
        found = stored.get(name)
        if found is not None and found.shape == tensor.shape:
            tensor.copy_(found)
            taken.append(name)
        elif found is not None and _is_narrower(name, found, tensor):
            tensor.copy_(widen_weight(found, tensor.shape[1]))
            widened.append(name)
        else:
            left.append(name)
    return Start(*(tuple(sorted(names)) for names in (taken, widened, left, stored.keys() - own.keys())))


@torch.no_grad()
def add_difference(net: nn.Module, folder: Path, part: str, base: str) -> bool:
    """Add to `net`, in place, what a model folder's `part` has over its `base`, where both are there and of the net's shapes.

    What `part` learned when it started from `base` is mostly there then in a net that starts from a later `base` (Ilharco et
    al. 2023, "Editing models with task arithmetic"). Returns whether it was added. Raises CheckpointError for a part that
    cannot be read.
    """
    if not all((folder / name / CONFIG).exists() for name in (part, base)):
        return False
    learned, before, own = load_part(folder / part)[1], load_part(folder / base)[1], net.state_dict()
    if any(stored.keys() != own.keys() for stored in (learned, before)):
        return False
    if any(learned[name].shape != tensor.shape or before[name].shape != tensor.shape for name, tensor in own.items()):
        return False
    for name, tensor in own.items():
        tensor.add_((learned[name].float() - before[name].float()).to(tensor.device))
    return True


def _is_narrower(name: str, stored: Tensor, wanted: Tensor) -> bool:
    """Whether a first convolution differs only in having fewer input channels."""
    is_first = name == CONV_IN or name.endswith(f".{CONV_IN}")
    same = stored.dim() == wanted.dim() and stored.shape[:1] == wanted.shape[:1] and stored.shape[2:] == wanted.shape[2:]
    return is_first and same and stored.shape[1] < wanted.shape[1]
