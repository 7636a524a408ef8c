"""The text tower as the cascade uses it: caption to token states and to the CLIP text embedding z_t.

It is open_clip's `HFTextEncoder` (mean pooling, linear projection) with the same parameter names; a test holds the two equal.
open_clip itself is not imported: torchvision, timm and transformers would double the time that a worker takes to start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from models.checkpoint import load_part, load_strict
from models.errors import CheckpointError
from models.nets.bert import Bert, BertConfig, sentence_mean


@dataclass(frozen=True)
class TextFeatures:
    """What the cascade knows of B captions.

    embeds: (B, D) z_t with norm sqrt(D). tokens: (B, L, D) states. mask: (B, L) bool, True = token. truncated: for each, how
    many tokens were cut off.
    """

    embeds: Tensor
    tokens: Tensor
    mask: Tensor
    truncated: tuple[int, ...]


class TextNet(nn.Module):
    """A BERT and the learned projection into the joint space."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        bert = BertConfig.of_json(config)
        self.transformer = Bert(bert)
        self.proj = nn.Linear(bert.hidden_size, config["embedding_dim"], bias=False)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids: (B, L) int64. mask: (B, L) bool. Returns the projected mean (B, D), not normalised, and the states (B, L, W)."""
        states = self.transformer(ids, mask)
        return self.proj(sentence_mean(states, mask)), states


class TextTower:
    """Captions in, `TextFeatures` out; frozen."""

    def __init__(self, net: TextNet, tokenizer: Tokenizer, context_length: int) -> None:
        self.net = net.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.context_length = context_length

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> TextTower:
        """Load `text_encoder/` and `tokenizer/` of a model folder. Raises CheckpointError."""
        config, tensors = load_part(folder / "text_encoder")
        with torch.device("meta"):  # filling 23 million numbers only to overwrite them takes half a second
            net = TextNet(config)
        net = net.to_empty(device="cpu")
        load_strict(net, tensors, "text_encoder")
        return cls(net.to(device), load_tokenizer(folder / "tokenizer" / "tokenizer.json"), config["context_length"])

    @torch.inference_mode()
    def encode(self, captions: list[str]) -> TextFeatures:
        """Encode captions; what is longer than `context_length` tokens is cut off and counted."""
        encodings = self.tokenizer.encode_batch(captions)
        length, device = self.context_length, self.net.proj.weight.device
        ids = torch.zeros(len(captions), length, dtype=torch.long)
        mask = torch.zeros(len(captions), length, dtype=torch.bool)
        for row, encoding in enumerate(encodings):
            kept = encoding.ids if len(encoding.ids) <= length else [*encoding.ids[: length - 1], encoding.ids[-1]]
            ids[row, : len(kept)] = torch.tensor(kept)
            mask[row, : len(kept)] = True
        longest = max(1, int(mask.sum(1).max()))  # nobody computes with padding; its states are zeros
        states = self.net.transformer(ids[:, :longest].to(device), mask[:, :longest].to(device))
        states = nn.functional.pad(states, (0, 0, 0, length - longest))
        embeds = self.project(sentence_mean(states, mask.to(device)))
        truncated = tuple(max(0, len(encoding.ids) - length) for encoding in encodings)
        return TextFeatures(embeds, states, mask.to(device), truncated)

    @torch.inference_mode()
    def project(self, means: Tensor) -> Tensor:
        """z_t, (B, D) with norm sqrt(D), of the states' means over the tokens, (B, W)."""
        projected: Tensor = self.net.proj(means)
        return nn.functional.normalize(projected, dim=-1) * math.sqrt(projected.shape[-1])


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer without its own truncation and padding: what is cut off is ours to count. Raises CheckpointError."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception for a missing or broken file
        raise CheckpointError(f"{path} cannot be read as a tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
