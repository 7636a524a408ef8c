"""The sentence tower: all-MiniLM-L6-v2's transformer in numpy, from the same file that the cascade reads with torch.

No torch, so that the API can run it, and no second copy of 23 MB. A test holds it equal to the torch net.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from safety.semantic.tensor_file import Array, read_tensors

CONFIG, TENSORS, TOKENIZER = (
    "text_encoder/config.json",
    "text_encoder/diffusion_pytorch_model.safetensors",
    "tokenizer/tokenizer.json",
)
PREFIX, SCALE = "transformer.", ":scale"
MAX_TOKENS = 64
"""The longest text that is read as one; of what is longer, the caller makes several."""

Floats = npt.NDArray[np.float32]


class TowerMissing(Exception):
    """The sentence tower's files are not there, or are not what they should be."""


@dataclass(frozen=True)
class Layer:
    """One block: q, k and v side by side (384, 1152); each matrix stored ready for `x @ w`."""

    qkv: Floats
    qkv_bias: Floats
    out: Floats
    out_bias: Floats
    norm: tuple[Floats, Floats]
    wide: Floats
    wide_bias: Floats
    narrow: Floats
    narrow_bias: Floats
    last_norm: tuple[Floats, Floats]


class SentenceTower:
    """Texts to unit vectors, (B, 384). Word embeddings stay int8 rows; the rest is float32, 43 MB. Threads may share one."""

    def __init__(self, tensors: dict[str, Array], heads: int, eps: float, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.heads, self.eps = heads, eps
        self.digest = digest_of(tensors)
        self._words = tensors["embeddings.word_embeddings.weight"]
        self._word_scales = tensors["embeddings.word_embeddings.weight" + SCALE].astype(np.float32)
        dense = {name: _float(tensors, name) for name in tensors if not name.endswith(SCALE) and "word_embed" not in name}
        self._positions = dense["embeddings.position_embeddings.weight"] + dense["embeddings.token_type_embeddings.weight"][0]
        self._norm = (dense["embeddings.LayerNorm.weight"], dense["embeddings.LayerNorm.bias"])
        count = 1 + max(int(name.split(".")[2]) for name in dense if name.startswith("encoder.layer."))
        self._layers = [_layer(dense, f"encoder.layer.{index}.") for index in range(count)]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the tower of a model folder. Raises TowerMissing."""
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            stored = read_tensors(folder / TENSORS)
            tensors = {name.removeprefix(PREFIX): value for name, value in stored.items() if name.startswith(PREFIX)}
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            tokenizer.no_padding()
            tokenizer.enable_truncation(MAX_TOKENS)
            return cls(tensors, config["num_attention_heads"], config["layer_norm_eps"], tokenizer)
        except Exception as error:  # the tokenizer's library raises bare Exceptions
            raise TowerMissing(f"the sentence tower in {folder} cannot be read: {error}") from error

    def reads_whole(self, text: str) -> bool:
        """True where a text ends before MAX_TOKENS."""
        return not self.tokenizer.encode(text).overflowing

    def embed(self, texts: Sequence[str]) -> Floats:
        """Mean of the token states of each text, at length 1; (B, 384). What is beyond MAX_TOKENS is not read."""
        encodings = self.tokenizer.encode_batch(list(texts))
        length = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(texts), length), np.int64)
        mask = np.zeros((len(texts), length), bool)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = True
        weights = mask[..., None].astype(np.float32)
        mean = (self._states(ids, mask) * weights).sum(1) / weights.sum(1)
        unit: Floats = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return unit

    def _states(self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Floats:
        """ids, mask: (B, L). Returns (B, L, 384)."""
        words = self._words[ids].astype(np.float32) * self._word_scales[ids][..., None]
        states = _normed(words + self._positions[: ids.shape[1]], self._norm, self.eps)
        hidden = np.where(mask, np.float32(0), np.float32(-1e9))[:, None, None]  # (B, 1, 1, L)
        for layer in self._layers:
            states = self._advance(layer, states, hidden)
        return states

    def _advance(self, layer: Layer, states: Floats, hidden: Floats) -> Floats:
        """One block, as BERT has it: the norm comes after the residual."""
        batch, length, width = states.shape
        qkv = (states.reshape(-1, width) @ layer.qkv + layer.qkv_bias).reshape(batch, length, 3, self.heads, -1)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)  # each (B, heads, L, width / heads)
        logits = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1])) + hidden
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        attended = (shares @ v).transpose(0, 2, 1, 3).reshape(batch, length, width)
        states = _normed(attended @ layer.out + layer.out_bias + states, layer.norm, self.eps)
        widened = _gelu(states.reshape(-1, width) @ layer.wide + layer.wide_bias)
        narrowed = (widened @ layer.narrow + layer.narrow_bias).reshape(states.shape)
        return _normed(narrowed + states, layer.last_norm, self.eps)


def digest_of(tensors: dict[str, Array]) -> str:
    """The sha256 of the transformer's numbers: a classifier fits one tower only."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def _float(tensors: dict[str, Array], name: str) -> Floats:
    value = tensors[name].astype(np.float32)
    if name + SCALE in tensors:
        value = value * tensors[name + SCALE].reshape(-1, *[1] * (value.ndim - 1)).astype(np.float32)
    return value


def _layer(dense: dict[str, Floats], at: str) -> Layer:
    parts = [f"{at}attention.self.{name}." for name in ("query", "key", "value")]
    out, wide, narrow = f"{at}attention.output.", f"{at}intermediate.dense.", f"{at}output."
    return Layer(
        qkv=np.ascontiguousarray(np.concatenate([dense[part + "weight"] for part in parts]).T),
        qkv_bias=np.concatenate([dense[part + "bias"] for part in parts]),
        out=np.ascontiguousarray(dense[out + "dense.weight"].T),
        out_bias=dense[out + "dense.bias"],
        norm=(dense[out + "LayerNorm.weight"], dense[out + "LayerNorm.bias"]),
        wide=np.ascontiguousarray(dense[wide + "weight"].T),
        wide_bias=dense[wide + "bias"],
        narrow=np.ascontiguousarray(dense[narrow + "dense.weight"].T),
        narrow_bias=dense[narrow + "dense.bias"],
        last_norm=(dense[narrow + "LayerNorm.weight"], dense[narrow + "LayerNorm.bias"]),
    )


def _normed(x: Floats, norm: tuple[Floats, Floats], eps: float) -> Floats:
    centred = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    out: Floats = centred / np.sqrt(variance + np.float32(eps)) * norm[0] + norm[1]
    return out


def _gelu(x: Floats) -> Floats:
    """x · Φ(x). numpy has no erf: Φ by the rational approximation 7.1.26 of Abramowitz and Stegun, within 1.5e-7."""
    z = np.abs(x) * np.float32(np.sqrt(0.5))
    t = np.reciprocal(1 + np.float32(0.3275911) * z, dtype=np.float32)
    series: Floats = np.full_like(t, 1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series * t + np.float32(coefficient)).astype(np.float32, copy=False)
    tail = series * t * np.exp(-z * z) / 2  # Φ(-|x|)
    out: Floats = x * np.where(x >= 0, 1 - tail, tail)
    return out
