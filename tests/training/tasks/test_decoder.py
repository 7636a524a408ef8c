"""The decoder stage is told of z_i and caption what its recipe says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.samplers.schedule import Schedule
from tests.training.tiny_decoder import tiny_decoder
from tests.training.tiny_source import TinySource
from training.tasks.decoder import DecoderTask, Told

SCHEDULE = Schedule.named("squaredcos_cap_v2")
PRIORS = 7.0
"""All numbers of the z_i that this file's prior draws."""
ROWS = 256


class Sevens:
    """A prior that draws one z_i for every caption, and keeps the captions."""

    def __init__(self) -> None:
        self.asked: list[Tensor] = []

    def __call__(self, text, z_T: Tensor) -> Tensor:
        assert z_T.shape == text.embeds.shape
        self.asked.append(text.embeds)
        return torch.full_like(text.embeds, PRIORS)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Tensor]]:
    """Which of 256 rows the net was told what, by a task of the given shares."""

    def rows(prior: Sevens | None = None, **shares: float) -> dict[str, Tensor]:
        source, net = TinySource(), tiny_decoder(patch_size=4)
        seen: dict[str, Tensor] = {}

        def watched(x, t, z_i, embeds, tokens, mask):
            seen["nothing"] = (z_i == net.text_proj.without_image(1)).all(1)
            seen["prior's"] = (z_i == PRIORS).all(1)
            seen["picture's"] = (z_i[:, None] == source.z_i).all(2).any(1)
            seen["caption"] = (embeds != source.empty.embeds).any(1)
            return x[:, :3]

        monkeypatch.setattr(net, "forward", watched)
        DecoderTask(net, source, SCHEDULE, Told(**shares), prior).loss(ROWS, torch.Generator().manual_seed(0))
        return seen

    return rows


def share(rows: Tensor) -> float:
    return rows.float().mean().item()


@pytest.mark.parametrize(("image", "text"), [(0.0, 1.0), (0.1, 0.5), (0.5, 0.0), (1.0, 0.3)])
def test_each_is_withheld_as_often_as_asked(told: Callable[..., dict[str, Tensor]], image: float, text: float) -> None:
    seen = told(drop_image=image, drop_text=text)
    assert share(seen["nothing"]) == pytest.approx(image, abs=0.08)
    assert share(~seen["caption"]) == pytest.approx(text, abs=0.08)
    assert (seen["nothing"] ^ seen["picture's"]).all()


def test_the_priors_z_i_comes_with_its_caption_alone(told: Callable[..., dict[str, Tensor]]) -> None:
    prior = Sevens()
    seen = told(prior, drop_image=0.25, drop_text=0.25, prior_image=0.5)
    both = seen["caption"] & ~seen["nothing"]
    assert (both & seen["prior's"]).equal(seen["prior's"])
    assert share(seen["prior's"][both]) == pytest.approx(0.5, abs=0.1)
    assert (seen["nothing"].int() + seen["prior's"].int() + seen["picture's"].int() == 1).all()
    assert len(torch.cat(prior.asked)) == seen["prior's"].sum()


def test_each_z_i_is_of_its_own_rows_caption(monkeypatch: pytest.MonkeyPatch) -> None:
    source, net = TinySource(), tiny_decoder(patch_size=4)
    given: list[tuple[Tensor, Tensor]] = []

    def watched(x, t, z_i, embeds, tokens, mask):
        given.append((z_i, embeds))
        return x[:, :3]

    monkeypatch.setattr(net, "forward", watched)
    task = DecoderTask(net, source, SCHEDULE, Told(0.0, 0.0, 0.5), prior=lambda text, z_T: text.embeds)
    task.loss(ROWS, torch.Generator().manual_seed(0))
    z_i, embeds = given[0]
    from_prior = (z_i == embeds).all(1)
    assert 0.4 < share(from_prior) < 0.6
    assert (z_i == embeds.flip(-1)).all(1)[~from_prior].all()  # a tiny picture's z_i is its caption's embedding turned round
