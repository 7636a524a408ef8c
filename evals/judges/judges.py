"""The judges at work: pictures in, what is seen in them out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate, log_softmax, max_pool2d

from evals.judges.groups import Groups
from evals.judges.nets import MatchNet, SceneNet, SpriteNet
from evals.judges.renders import NO_COLOUR
from evals.judges.views import SIZE_PX, windows
from evals.judges.words import hashed
from models.errors import ModelError
from training.data.scenes import BACKDROPS, COLOURS, PLAIN_COLOURS

WEIGHTS = Path(__file__).parent / "weights"
FORMAT_VERSION = 1
BUCKETS = 5000
CHUNK = 64
SHOWN = 5
LARGE, SCALE = 2**17, ".scale"
"""Elements from which a tensor is stored as bytes, and what its scales are called after it."""
IS_OBJECT = 0.42
"""Heat from which a cell is a centre; chosen on renders of another seed than the figures."""
TRIED = 2
"""Boxes in which one object is looked for, besides the whole picture."""
SAME_CENTRE, SAME_SIDE = 0.12, 1.5
"""Two boxes nearer than the first, in shares of the picture, whose sides differ by a smaller factor than the second are one."""
ROOMS = (1.05, 1.25)
"""How much wider than its box an object's windows are; it is named by what they say together."""


class JudgesUnusable(ModelError):
    """The weights are missing, altered, or of another format."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}; train judges with `unclip eval judges`, or take the folder from the repository")


@dataclass(frozen=True)
class SeenObject:
    """One object.

    likely: its likeliest groups, `concept_group` the first. colour: one of `COLOURS` that it is mostly of, or None. x, y, size:
    its centre and its side, as shares of the picture's side, from the top left. score: in (0, 1).
    """

    concept_group: str
    likely: tuple[str, ...]
    colour: str | None
    x: float
    y: float
    size: float
    score: float


@dataclass(frozen=True)
class Seen:
    """One picture: its objects, the surest first, and what lies behind: "plain blue", or a kind alone, "stripes", "meadow"."""

    objects: tuple[SeenObject, ...]
    backdrop: str


@dataclass(frozen=True)
class Box:
    """Where an object is; all as shares of the picture's side."""

    x: float
    y: float
    size: float
    score: float


class Judges:
    """Three networks. Pictures are (B, 3, S, S) in [-1, 1], any B; the judges look at 64 px."""

    def __init__(self, groups: Groups, classifier: SpriteNet, detector: SceneNet, matcher: MatchNet) -> None:
        self.groups, self.classifier, self.detector, self.matcher = groups, classifier.eval(), detector.eval(), matcher.eval()

    @classmethod
    def untrained(cls, groups: Groups) -> Self:
        """Networks as they begin."""
        return cls(groups, SpriteNet(len(groups.names)), SceneNet(), MatchNet(BUCKETS))

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """The judges that come with unclip, or those of a folder that `save` made. Raises JudgesUnusable."""
        folder = folder or WEIGHTS
        about = _read_about(folder)
        groups = Groups.read(folder / "groups.json") if (folder / "groups.json").is_file() else Groups.read()
        if about["groups"] != list(groups.names):
            raise JudgesUnusable(folder, "its groups are not those of groups.json")
        judges = cls.untrained(groups)
        for name, net in judges._nets().items():
            path = folder / f"{name}.safetensors"
            if not path.is_file() or _sha256(path) != about["sha256"][name]:
                raise JudgesUnusable(path, "missing, or not what judges.json says")
            net.load_state_dict(_unpacked(load_file(path)))
        return judges

    def save(self, folder: Path, figures: dict[str, Any] | None = None) -> None:
        """Write the networks, small, and `judges.json` with their checksums and figures."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, net in self._nets().items():
            save_file(_packed(net.state_dict()), folder / f"{name}.safetensors")
        about = {
            "format_version": FORMAT_VERSION,
            "sha256": {name: _sha256(folder / f"{name}.safetensors") for name in self._nets()},
            "figures": figures or {},
            "groups": list(self.groups.names),
        }
        (folder / "judges.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def take_over(self, other: Judges) -> None:
        """Begin with another's weights. Raises JudgesUnusable where the groups differ."""
        if other.groups.names != self.groups.names:
            raise JudgesUnusable(WEIGHTS, "they know other groups than these sprites have")
        for name, net in self._nets().items():
            net.load_state_dict(other._nets()[name].state_dict())

    def to(self, device: torch.device | str) -> Self:
        """Move all networks."""
        for net in self._nets().values():
            net.to(device)
        return self

    def group(self, concept: str) -> str:
        """The group of a concept. Raises KeyError for one that the judges never learned."""
        return self.groups.of(concept)

    def names(self, pixels: Tensor) -> list[list[str]]:
        """For each picture of one object its five likeliest groups, the likeliest first.

        The object is looked at in the surest boxes and in the whole picture; the look that is surest of its group counts.
        """
        named = []
        shown = min(SHOWN, len(self.groups.names))
        for chunk in _chunks(pixels):
            looks = [(row, box) for row, found in enumerate(self.boxes(chunk)) for box in (*found[:TRIED], WHOLE)]
            scores, _ = self._look(chunk[[row for row, _ in looks]], [box for _, box in looks])
            surest: dict[int, int] = {}
            for at, ((row, _), sure) in enumerate(zip(looks, scores.amax(1).tolist(), strict=True)):
                if row not in surest or sure > scores[surest[row]].max():
                    surest[row] = at
            best = scores[[surest[row] for row in range(len(chunk))]].topk(shown).indices.tolist()
            named += [[self.groups.names[at] for at in row] for row in best]
        return named

    @torch.inference_mode()
    def features(self, pixels: Tensor) -> Tensor:
        """(B, F), unit vectors: how the classifier sees the whole picture; for distances between sets of pictures."""
        return torch.cat([self.classifier(chunk)[0] for chunk in _chunks(pixels)])

    def scene(self, pixels: Tensor) -> list[Seen]:
        """The objects of each picture and what lies behind them."""
        return [seen for chunk in _chunks(pixels) for seen in self._scenes(chunk)]

    @torch.inference_mode()
    def matches(self, pixels: Tensor, captions: Sequence[str]) -> Tensor:
        """(B, C): the cosine of each picture with each caption."""
        texts = self.matcher.caption(*hashed(captions, self.matcher.words.num_embeddings, pixels.device))
        return torch.cat([self.matcher.picture(chunk) for chunk in _chunks(pixels)]) @ texts.mT

    @torch.inference_mode()
    def boxes(self, pixels: Tensor) -> list[list[Box]]:
        """The objects' boxes in pictures of 64 px, the surest first."""
        return [decode(heat) for heat in self.detector(pixels)[0]]

    @torch.inference_mode()
    def _scenes(self, pixels: Tensor) -> list[Seen]:
        maps, kinds, colours = self.detector(pixels)
        found = [decode(one) for one in maps]
        owner = [row for row, boxes in enumerate(found) for _ in boxes]
        flat = [box for boxes in found for box in boxes]
        objects: list[list[SeenObject]] = [[] for _ in found]
        if flat:
            groups, hues = self._look(pixels[owner], flat)
            shown = min(SHOWN, len(self.groups.names))
            ranked, hue = groups.topk(shown).indices.tolist(), hues.argmax(1).tolist()
            for row, box, likely, colour in zip(owner, flat, ranked, hue, strict=True):
                names = tuple(self.groups.names[at] for at in likely)
                named = None if colour == NO_COLOUR else COLOURS[colour]
                objects[row].append(SeenObject(names[0], names, named, box.x, box.y, box.size, box.score))
        behind = [
            _backdrop(kind, colour) for kind, colour in zip(kinds.argmax(1).tolist(), colours.argmax(1).tolist(), strict=True)
        ]
        return [Seen(tuple(seen), backdrop) for seen, backdrop in zip(objects, behind, strict=True)]

    @torch.inference_mode()
    def _look(self, pixels: Tensor, boxes: Sequence[Box]) -> tuple[Tensor, Tensor]:
        """Log probabilities of the groups (n, G) and of the colours (n, 8) of one box in each of n pictures."""
        groups, colours = [], []
        for at in range(0, len(boxes), CHUNK):
            several = [
                self.classifier(
                    windows(
                        pixels[at : at + CHUNK],
                        torch.tensor([(box.x, box.y, box.size * room) for box in boxes[at : at + CHUNK]], device=pixels.device),
                    )
                )
                for room in ROOMS
            ]
            groups.append(torch.stack([one[1] for one in several]).mean(0))
            colours.append(torch.stack([log_softmax(one[2], 1) for one in several]).mean(0))
        return torch.cat(groups), torch.cat(colours)

    def _nets(self) -> dict[str, nn.Module]:
        return {"classifier": self.classifier, "detector": self.detector, "matcher": self.matcher}


WHOLE = Box(0.5, 0.5, 1.0, 0.0)


def decode(maps: Tensor) -> list[Box]:
    """(SLOTS, 4, cells, cells) of one picture → its boxes, the surest first: the local maxima of the heat."""
    heat = maps[:, 0].sigmoid()
    peaks = (heat >= IS_OBJECT) & (heat == max_pool2d(heat[:, None], 3, 1, 1)[:, 0])
    cells = maps.shape[-1]
    boxes = []
    for slot, row, column in peaks.nonzero().tolist():
        _, right, down, side = maps[slot, :, row, column].tolist()
        shift_x, shift_y = torch.tensor([right, down]).sigmoid().tolist()
        size = min(float(torch.tensor(side).exp()), 1.5)
        boxes.append(Box((column + shift_x) / cells, (row + shift_y) / cells, size, float(heat[slot, row, column])))
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if not any(_is_same(box, other) for other in kept):
            kept.append(box)
    return kept


def _is_same(one: Box, other: Box) -> bool:
    is_near = max(abs(one.x - other.x), abs(one.y - other.y)) < SAME_CENTRE
    return is_near and max(one.size, other.size) < SAME_SIDE * min(one.size, other.size)


def _backdrop(kind: int, colour: int) -> str:
    return f"plain {PLAIN_COLOURS[colour]}" if BACKDROPS[kind] == "plain" else BACKDROPS[kind]


def _chunks(pixels: Tensor) -> Iterator[Tensor]:
    for at in range(0, len(pixels), CHUNK):
        chunk = pixels[at : at + CHUNK]
        yield chunk if chunk.shape[-1] == SIZE_PX else interpolate(chunk, size=(SIZE_PX, SIZE_PX), mode="area")


def _packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Half precision; large tensors as bytes, each row with a scale of its own beside it."""
    packed: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if tensor.numel() < LARGE:
            packed[key] = tensor.detach().half().contiguous()
            continue
        rows = tensor.detach().flatten(1)
        scale = rows.abs().amax(1).clamp_min(1e-12) / 127
        packed[key] = (rows / scale[:, None]).round().to(torch.int8).reshape(tensor.shape).contiguous()
        packed[key + SCALE] = scale
    return packed


def _unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `_packed`, in full precision."""
    full = {}
    for key, tensor in tensors.items():
        if key + SCALE in tensors:
            full[key] = tensor.float() * tensors[key + SCALE].reshape(-1, *[1] * (tensor.dim() - 1))
        elif not key.endswith(SCALE):
            full[key] = tensor.float()
    return full


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / "judges.json"
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JudgesUnusable(path, f"cannot be read ({error})") from error
    if about.get("format_version") != FORMAT_VERSION:
        raise JudgesUnusable(path, f"format_version is {about.get('format_version')!r}, not {FORMAT_VERSION}")
    return about


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
