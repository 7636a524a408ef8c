"""The committed prompt lists, and reading and writing them."""

import re
from collections import Counter

import pytest

from evals.judges.groups import Groups
from evals.quality.asked import LISTS, Asked, read_list, write_list
from training.data.phrasing import TEMPLATES
from training.data.scenes import BACKDROPS, COLOURS, PLAIN_COLOURS, RELATIONS
from training.data.vocabulary import WORDS, HeldOut

LENGTHS = {
    "objects": 500, "familiar": 286, "styles": 100, "colours": 140, "counts": 150, "relations": 120, "held-out-relations": 120,
    "backdrops": 120, "phrases": 60, "captions": 1000, "samples": 64, "copies": 100,
}  # fmt: skip
SMALL_WORDS = {"a", "an", "at", "of", "the", "up", "something"}


def test_every_list_is_as_long_as_the_page_says_and_asks_for_each_prompt_once():
    for name, length in LENGTHS.items():
        asked = read_list(name)
        assert len(asked) == length, name
        assert len({(one.prompt, one.relation) for one in asked}) == length, name
        assert len({one.seed for one in asked}) == length, name
    assert {path.stem for path in LISTS.glob("*.txt")} == LENGTHS.keys()


def test_the_judges_know_every_concept_that_is_asked_for():
    groups = Groups.read()
    for name in LENGTHS:
        for one in read_list(name):
            for concept in (*one.concepts, *([one.other] if one.other else [])):
                groups.of(concept)  # raises KeyError


def test_what_is_said_to_be_held_out_is_held_out_and_the_other_pairs_are_not():
    held_out = HeldOut.read()
    assert {(one.concepts[0], one.style) for one in read_list("styles")} == held_out.styles
    for name, is_held_out in (("held-out-relations", True), ("relations", False)):
        pairs = [frozenset((one.concepts[0], one.other)) for one in read_list(name)]
        assert {pair in held_out.relations for pair in pairs} == {is_held_out}


def test_seen_and_held_out_relations_ask_for_the_same_concepts_and_as_often_for_each_relation():
    seen, held_out = read_list("relations"), read_list("held-out-relations")
    assert Counter(one.relation for one in seen) == Counter(one.relation for one in held_out) == dict.fromkeys(RELATIONS, 20)
    among = {name for pair in HeldOut.read().relations for name in pair}
    assert all({one.concepts[0], one.other} <= among for one in seen)


def test_every_colour_count_and_backdrop_is_asked_for_equally_often():
    assert Counter(one.colour for one in read_list("colours")) == dict.fromkeys(COLOURS, 20)
    assert Counter(one.count for one in read_list("counts")) == dict.fromkeys(range(1, 6), 30)
    kinds = [*(f"plain {colour}" for colour in PLAIN_COLOURS), *BACKDROPS[1:]]
    assert Counter(one.backdrop for one in read_list("backdrops")) == dict.fromkeys(kinds, 6)


def test_captions_are_in_wordings_that_training_never_uses():
    held_out = [re.escape(template).replace(r"\{", "{").replace(r"\}", "}") for template in HeldOut.read().templates]
    patterns = [re.compile(re.sub(r"{\w+}", ".*", template)) for template in held_out]
    assert all(any(pattern.fullmatch(one.prompt) for pattern in patterns) for one in read_list("captions"))
    assert HeldOut.read().templates & set(TEMPLATES)


def test_no_word_of_an_open_phrase_is_a_name_or_a_hand_written_phrase():
    known = {word for name in Groups.read().names for word in name.split("-")}
    lines = WORDS.read_text(encoding="utf-8").lower().splitlines()
    known |= {word for line in lines if not line.startswith("#") for word in re.findall(r"[a-z]+", line)}
    for one in read_list("phrases"):
        assert not (set(one.prompt.split()) - SMALL_WORDS) & known, one.prompt


def test_a_list_reads_as_it_was_written(tmp_path):
    asked = [Asked("three cars", 1, ("automobile", "taxi"), count=3), Asked("a cat", 2, ("cat",))]
    write_list("some", "Two of them.", asked, tmp_path)
    assert read_list("some", folder=tmp_path) == tuple(asked)


def test_a_share_is_the_head_of_a_list_and_never_nothing(tmp_path):
    write_list("some", "", [Asked(f"prompt {seed}", seed) for seed in range(10)], tmp_path)
    assert [one.seed for one in read_list("some", share=0.3, folder=tmp_path)] == [0, 1, 2]
    assert len(read_list("some", share=0.001, folder=tmp_path)) == 1


def test_an_entry_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "some.txt").write_text("# a comment\nprompt\tseed\na cat\t1\na dog\tseven\n")
    with pytest.raises(ValueError, match=r"some\.txt, entry 2: .*seven"):
        read_list("some", folder=tmp_path)
