"""Model folders on disk: parts (a config and its tensors) in the diffusers layout, and a manifest over the whole folder."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models.errors import CheckpointError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
CONFIG = "config.json"
TENSORS = "diffusion_pytorch_model.safetensors"
TENSORS_OF_ENCODERS = "model.safetensors"  # what transformers, and so the diffusers layout, calls the text encoder's
SCALE = ":scale"  # after a tensor's name; no parameter of a torch module can hold a colon made by attribute access
COVERED = (".json", ".safetensors", ".txt")  # what loaders read; a model card may be edited

Storage = Literal["float32", "float16", "int8_rows"]


class Fields(dict[str, Any]):
    """An object in a JSON file of a model folder; asked for a field that it lacks, it raises CheckpointError naming both."""

    def __init__(self, fields: Mapping[str, Any], path: Path) -> None:
        super().__init__(fields)
        self._path = path

    def __missing__(self, name: str) -> NoReturn:
        raise CheckpointError(f"{self._path} has no {name!r}")


def save_part(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, storage: Storage = "float16") -> None:
    """Write one part: `config.json` and its tensors, each file whole or not at all.

    storage, of floating tensors: `float32`; `float16`; or `int8_rows`, tensors of two and more axes as int8 with one float32
    scale per index of their first axis (symmetric, max |row| / 127), the rest float16. Other dtypes are kept.
    Raises CheckpointError for a tensor that is not finite or that float16 cannot hold.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        packed |= _pack(name, tensor.detach().cpu(), storage)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{TENSORS}.tmp"
    # One key only: safetensors writes metadata in chance order, and the same tensors shall be the same bytes.
    save_file(packed, temporary, metadata={"format_version": str(FORMAT_VERSION)})
    temporary.replace(folder / TENSORS)
    _write_json(folder / CONFIG, config)


def load_part(folder: Path) -> tuple[Fields, dict[str, Tensor]]:
    """Read one part, ours or a diffusers folder's: its config, and its tensors by name, floating ones as float32.

    Raises CheckpointError for a missing or unreadable file, a newer format, or a scale that fits no tensor.
    """
    config = read_json(folder / CONFIG)
    path = next((p for p in (folder / TENSORS, folder / TENSORS_OF_ENCODERS) if p.is_file()), None)
    if path is None:
        raise CheckpointError(f"{folder} has neither {TENSORS} nor {TENSORS_OF_ENCODERS}")
    try:
        with safe_open(path, framework="pt") as file:
            version = (file.metadata() or {}).get("format_version", str(FORMAT_VERSION))
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    _check_version(version, path)
    return config, _unpack(stored, path)


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], part: str) -> None:
    """Load a part's tensors into its net; every name and shape must fit. Raises CheckpointError naming those that do not."""
    expected = module.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    foreign = sorted(tensors.keys() - expected.keys())
    misfits = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    faults = {"missing": missing, "unknown": foreign, "misshapen": misfits}
    if any(faults.values()):
        found = "; ".join(f"{fault} {_listed(names)}" for fault, names in faults.items() if names)
        raise CheckpointError(f"the tensors of {part} do not fit its net: {found}")
    module.load_state_dict(tensors, strict=True)


def read_json(path: Path) -> Fields:
    """Read a JSON object. Raises CheckpointError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_hook=lambda fields: Fields(fields, path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, Fields):
        raise CheckpointError(f"{path} is not a JSON object")
    return value


def write_manifest(folder: Path) -> None:
    """Write `manifest.json`: the sha256 of every file under `folder` that a loader reads."""
    files = {name: _sha256(folder / name) for name in _covered(folder)}
    _write_json(folder / MANIFEST, {"format_version": FORMAT_VERSION, "files": files})


def verify_manifest(folder: Path) -> None:
    """Compare every file that a loader reads with `manifest.json`. Raises CheckpointError naming the first that differs."""
    manifest = read_json(folder / MANIFEST)
    _check_version(manifest.get("format_version"), folder / MANIFEST)
    files, found = manifest.get("files"), _covered(folder)
    if not isinstance(files, dict):
        raise CheckpointError(f"{folder / MANIFEST} lists no files")
    for name in sorted(files.keys() ^ set(found)):
        raise CheckpointError(f"{folder / name} is " + ("missing" if name in files else f"not in {MANIFEST}"))
    for name in found:
        if _sha256(folder / name) != files[name]:
            raise CheckpointError(f"{folder / name} is not the file that {MANIFEST} names; copy the model folder again")


def _pack(name: str, tensor: Tensor, storage: Storage) -> dict[str, Tensor]:
    if not tensor.is_floating_point():
        return {name: tensor.contiguous()}
    exact = tensor.float()
    if not exact.isfinite().all():
        raise CheckpointError(f"{name} holds numbers that are not finite; it is not saved")
    if storage == "float32":
        return {name: exact.contiguous()}
    if storage == "int8_rows" and tensor.dim() >= 2:
        scale = exact.flatten(1).abs().amax(dim=1) / 127
        divisor = torch.where(scale > 0, scale, 1.0).reshape(-1, *[1] * (tensor.dim() - 1))
        return {name: (exact / divisor).round().clamp(-127, 127).to(torch.int8).contiguous(), name + SCALE: scale}
    half = exact.half()
    if not half.isfinite().all():
        raise CheckpointError(f"{name} reaches {exact.abs().max():.3g}, more than float16 holds; save it as float32")
    return {name: half.contiguous()}


def _unpack(stored: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    scales = {name.removesuffix(SCALE): stored.pop(name) for name in list(stored) if name.endswith(SCALE)}
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    for name, scale in scales.items():
        if name not in tensors or len(tensors[name]) != len(scale):
            raise CheckpointError(f"{path}: {name + SCALE} fits no tensor")
        tensors[name] = tensors[name].float() * scale.reshape(-1, *[1] * (tensors[name].dim() - 1))
    return tensors


def _covered(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix in COVERED and not path.name.startswith("."))
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != MANIFEST)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_version(version: object, path: Path) -> None:
    if str(version) != str(FORMAT_VERSION):
        raise CheckpointError(f"{path} has format_version {version!r}; this program reads {FORMAT_VERSION}")


def _listed(names: list[str], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
