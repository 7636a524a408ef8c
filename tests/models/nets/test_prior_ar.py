"""The autoregressive prior's net: codes of z_i, and the same logits step by step as all at once."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.clip.text import TextFeatures
from models.nets.codes import EmbeddingCodes
from models.nets.prior_ar import PriorAR
from tests.models.tiny import CONTEXT_LENGTH, DIM, tiny_prior_ar
from tests.training.tiny_source import features

ROWS = 3


@pytest.fixture(scope="module")
def net() -> PriorAR:
    return tiny_prior_ar()


@pytest.fixture(scope="module")
def text() -> TextFeatures:
    return features(ROWS, DIM, CONTEXT_LENGTH, torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def tokens(net: PriorAR) -> Tensor:
    return torch.randint(net.config.buckets, (ROWS, net.config.components), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def stepped(net: PriorAR, text: TextFeatures, tokens: Tensor) -> Tensor:
    read = net.read(text)
    numbers = torch.arange(net.config.components)
    return torch.stack([net.step(tokens[:, n], numbers[n].expand(len(tokens)), *read) for n in numbers], dim=1)


def shorter(text: TextFeatures, length: int) -> TextFeatures:
    return TextFeatures(text.embeds, text.tokens[:, :length], text.mask[:, :length], text.truncated)


def test_step_by_step_it_says_what_it_says_all_at_once(net: PriorAR, text: TextFeatures, tokens: Tensor) -> None:
    assert torch.allclose(stepped(net, text, tokens), net(text, tokens), atol=1e-4)


def test_padding_may_be_left_off(net: PriorAR, text: TextFeatures, tokens: Tensor) -> None:
    trimmed = shorter(text, int(text.mask.sum(1).max()))
    assert trimmed.tokens.shape[1] < CONTEXT_LENGTH
    assert torch.allclose(net(trimmed, tokens), net(text, tokens), atol=1e-4)
    assert torch.allclose(stepped(net, trimmed, tokens), net(text, tokens), atol=1e-4)


def test_what_padding_holds_does_not_matter(net: PriorAR, text: TextFeatures, tokens: Tensor) -> None:
    noisy = TextFeatures(text.embeds, torch.where(text.mask[..., None], text.tokens, 9.0), text.mask, text.truncated)
    assert torch.allclose(net(noisy, tokens), net(text, tokens), atol=1e-4)


def test_a_code_is_predicted_from_those_before_it_alone(net: PriorAR, text: TextFeatures, tokens: Tensor) -> None:
    changed = tokens.clone()
    changed[:, 3] = (tokens[:, 3] + 1) % net.config.buckets
    moved = (net(text, changed) - net(text, tokens)).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [False] * 3 + [True] * 3


def test_the_caption_reaches_every_code(net: PriorAR, text: TextFeatures, tokens: Tensor) -> None:
    other = TextFeatures(text.embeds, text.tokens.flip(0), text.mask.flip(0), text.truncated)
    assert bool(((net(other, tokens) - net(text, tokens)).abs().amax(dim=2) > 1e-6)[0].all())


@torch.no_grad()
def test_rows_at_different_codes_share_a_step(net: PriorAR, text: TextFeatures, tokens: Tensor) -> None:
    kept, seen, coordinates = net.read(text)
    net.step(tokens[:, 0], torch.zeros(ROWS, dtype=torch.long), kept, seen, coordinates)
    net.step(tokens[:2, 1], torch.ones(2, dtype=torch.long), kept[:2], seen[:2], coordinates[:2])
    # Row 2 is a code behind; what its cache holds past that position does not count yet.
    at = torch.tensor([2, 2, 1])
    logits = net.step(tokens[torch.arange(ROWS), at], at, kept, seen, coordinates)
    assert torch.allclose(logits, net(text, tokens)[torch.arange(ROWS), at], atol=1e-4)


@torch.no_grad()
def test_a_position_is_told_of_z_t_what_it_predicts_of_z_i(text: TextFeatures, tokens: Tensor) -> None:
    net = tiny_prior_ar()
    net.embedding_proj.weight.zero_()  # leaves no other way for z_t; the components of a fresh net are its first axes
    turned = text.embeds.clone()
    turned[:, 3] += 1
    other = TextFeatures(turned, text.tokens, text.mask, text.truncated)
    moved = (net(other, tokens) - net(text, tokens)).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [False] * 3 + [True] * 3


def test_a_dot_product_of_the_top_half_is_drawn(net: PriorAR) -> None:
    drawn = net.high_dot(torch.linspace(0, 1, 1001)[:-1]) - net.config.buckets
    assert sorted(set(drawn.tolist())) == [2, 3]


def test_a_dot_product_is_told_by_its_bucket(net: PriorAR) -> None:
    z_t = torch.ones(3, DIM)
    dots = net.dot_tokens(z_t * torch.tensor([[-0.9], [0.1], [2.0]]), z_t)
    assert (dots - net.config.buckets).tolist() == [0, 2, 3]


def test_codes_say_the_components_to_half_a_bucket() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = EmbeddingCodes(DIM, components=DIM, buckets=64)
    codes.basis.copy_(torch.linalg.qr(torch.randn(DIM, DIM, generator=generator)).Q)
    codes.low.fill_(-4), codes.high.fill_(4)
    z_i = torch.nn.functional.normalize(torch.randn(32, DIM, generator=generator), dim=-1) * math.sqrt(DIM)
    said = codes.decode(codes.encode(z_i))
    assert torch.allclose(said.norm(dim=-1), torch.full((32,), math.sqrt(DIM)))
    assert torch.cosine_similarity(said, z_i).min() > 0.999


def test_what_lies_outside_goes_to_the_outermost_bucket() -> None:
    codes = EmbeddingCodes(4, components=4, buckets=8)
    assert codes.encode(torch.tensor([[-9.0, 9.0, -0.99, 0.99]])).tolist() == [[0, 7, 0, 7]]
