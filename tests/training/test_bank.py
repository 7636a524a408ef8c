"""A bank gives back what was put into it, whatever its order, and learns nothing from padding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.clip.image import ImageTower
from models.clip.text import TextTower
from tests.models.tiny import write_tiny_model
from training.bank import Bank, make_bank, read_bank
from training.distributed import ALONE, Ranks
from training.live import encode_all

SILENT = lambda done, total: None  # noqa: E731
CAPTIONS = ("a cat", "a very long caption about a cat and a dog", "", "two cats")


class Numbered:
    """Pictures whose colour tells their number, captions in turn."""

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        shades = torch.arange(batch).float() / 127.5 - 1
        owners = torch.ones(batch, 64, 64, dtype=torch.uint8)
        return shades[:, None, None, None].expand(-1, 3, 64, 64), [CAPTIONS[at % 4] for at in range(batch)], owners


class Shaded(Numbered):
    """Pictures of chance shades."""

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        _, captions, owners = super().draw(batch, generator)
        return torch.rand(batch, 3, 64, 64, generator=generator) * 2 - 1, captions, owners


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> TextTower:
    return TextTower.load(write_tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def bank(tower: TextTower, tmp_path: Path) -> Bank:
    make_bank(Numbered(), tower, 6, 1, SILENT).save(tmp_path / "bank.safetensors")
    return read_bank(tmp_path / "bank.safetensors", tower)


def test_pictures_and_owners_come_back_as_they_were(bank: Bank) -> None:
    examples = bank.rows(torch.tensor([3, 0]))
    assert torch.allclose(examples.pixels[:, 0, 0, 0], torch.tensor([3.0, 0.0]) / 127.5 - 1)
    assert examples.owners.eq(1).all()


def test_captions_features_are_the_towers_own(bank: Bank, tower: TextTower) -> None:
    direct = tower.encode([CAPTIONS[1]])
    kept = bank.rows(torch.tensor([1])).text
    length = kept.mask.shape[1]
    assert torch.equal(kept.mask, direct.mask[:, :length])
    assert torch.allclose(kept.tokens[kept.mask], direct.tokens[:, :length][kept.mask], atol=0.05)  # bfloat16


def test_the_same_generator_takes_the_same_rows(bank: Bank) -> None:
    first, second = (bank.take(4, torch.Generator().manual_seed(5)).pixels for _ in range(2))
    assert torch.equal(first, second)


def test_several_processes_make_the_same_bank_as_one(tower: TextTower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.bank.DRAWN", 2)
    one, several = (make_bank(Shaded(), tower, 7, 1, SILENT, processes) for processes in (0, 3))
    assert one.captions == several.captions
    assert all(torch.equal(tensor, several.tensors[name]) for name, tensor in one.tensors.items())
    assert len(one.tensors["pixels"].flatten(1).unique(dim=0)) == 7


def test_captions_encoded_by_length_come_back_in_their_order(tower: TextTower) -> None:
    together, alone = encode_all(tower, CAPTIONS, batch=2), [tower.encode([caption]) for caption in CAPTIONS]
    for row, own in enumerate(alone):
        assert torch.allclose(together.embeds[row], own.embeds[0], atol=1e-5)
        assert torch.equal(together.mask[row], own.mask[0])


def test_z_i_by_bfloat16_are_those_of_float32_within_its_precision(
    tower: TextTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.precision.computes_bf16", lambda _: True)
    image = ImageTower.load(write_tiny_model(tmp_path / "tiny"))
    bank = make_bank(Shaded(), tower, 6, 1, SILENT)
    exact, quick = (bank.with_towers(tower, image, bf16=bf16).z_i for bf16 in (False, True))
    assert exact is not None
    assert quick is not None
    assert (quick.dtype, torch.equal(exact, quick)) == (torch.float32, False)
    assert torch.cosine_similarity(exact, quick).min() > 0.999
    torch.testing.assert_close(quick.norm(dim=1), exact.norm(dim=1), rtol=0.01, atol=0)


class Unsummed(Ranks):
    """One of several processes that keeps to itself what it has."""

    def sum(self, value: Tensor) -> Tensor:
        return value


def test_each_of_several_processes_computes_its_part(tower: TextTower, tmp_path: Path) -> None:
    image = ImageTower.load(write_tiny_model(tmp_path / "tiny"))
    bank = make_bank(Shaded(), tower, 5, 1, SILENT)

    def embedded(ranks: Ranks) -> Tensor:
        of = bank.with_towers(tower, image, ranks=ranks)
        assert of.z_i is not None
        assert of.z_t is not None
        return torch.cat([of.z_i, of.z_t], dim=1)

    alone, first, second = embedded(ALONE), embedded(Unsummed(0, 2)), embedded(Unsummed(1, 2))
    assert (first[3:] == 0).all()
    assert (second[:3] == 0).all()
    torch.testing.assert_close(first + second, alone)
