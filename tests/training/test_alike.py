"""A share of each batch names one colour, another by lot; the rest is by chance."""

from __future__ import annotations

import pytest
import torch

from models.clip.text import TextFeatures
from training.alike import Alike
from training.bank import Bank
from training.data.errors import DataError
from training.examples import Examples

CAPTIONS = ["A red apple", "a blue apple", "a pear", "two red pears", "red hair", "a blueberry"] * 4
RED, BLUE = {0, 3, 4}, {1}


class Watched(Bank):
    """Tells which rows were asked for."""

    def __init__(self, captions: list[str]) -> None:
        empty = TextFeatures(torch.zeros(1, 4), torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool), ())
        super().__init__({"pixels": torch.zeros(len(captions), 3, 2, 2)}, empty, captions)
        self.asked: list[int] = []

    def rows(self, rows: torch.Tensor) -> Examples:
        self.asked = rows.tolist()
        return Examples(self.tensors["pixels"][rows], torch.zeros(0), self.empty, torch.zeros(0))


def batches(bank: Watched, share: float, batch: int = 8) -> list[list[int]]:
    source, taken = Alike(bank, share), []
    for seed in range(40):
        source.take(batch, torch.Generator().manual_seed(seed))
        taken.append(bank.asked)
    return taken


def test_the_share_of_a_batch_names_one_colour_and_each_colour_has_its_turn() -> None:
    colours = set()
    for rows in batches(Watched(CAPTIONS), share=0.5):
        alike = {row % 6 for row in rows[:4]}
        assert alike <= RED or alike <= BLUE
        assert len(set(rows[:4])) == 4
        assert len(rows) == 8
        colours.add("red" if alike <= RED else "blue")
    assert colours == {"red", "blue"}


def test_the_rest_are_chance_rows_of_the_whole_bank() -> None:
    rest = {row for rows in batches(Watched(CAPTIONS), share=0.5) for row in rows[4:]}
    assert rest == set(range(len(CAPTIONS)))


def test_where_few_name_a_colour_chance_rows_fill_the_batch() -> None:
    (rows, *_) = batches(Watched(["a red apple", *["a pear"] * 9]), share=0.5)
    assert rows[0] == 0
    assert len(rows) == 8


def test_captions_without_colours_are_refused() -> None:
    with pytest.raises(DataError, match="no caption names a colour"):
        Alike(Watched(["a pear", "a blueberry"]), 0.5)
