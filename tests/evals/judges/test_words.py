import torch

from evals.judges.words import hashed, parts


def test_a_caption_is_its_words_pairs_and_letters():
    bag = parts("A red Fox")
    assert {"red", "a red", "red fox", "<red", "fox/1"} <= set(bag)


def test_who_stands_where_makes_another_bag():
    assert set(parts("a cat left of a dog")) != set(parts("a dog left of a cat"))


def test_captions_lie_in_one_row_with_their_starts():
    rows, starts = hashed(["fox", "a red fox"], 512)
    alone, _ = hashed(["a red fox"], 512)
    assert torch.equal(rows[starts[1] :], alone)
    assert starts.tolist() == [0, len(parts("fox"))]


def test_buckets_are_the_same_in_every_process():
    assert hashed(["fox"], 8192)[0].tolist() == [230, 908, 497, 5515]


def test_an_empty_caption_has_a_place_too():
    assert len(hashed(["", "fox"], 64)[1]) == 2
