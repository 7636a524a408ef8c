import json

import pytest
import torch

from evals.judges.groups import Groups
from evals.judges.judges import WEIGHTS, Box, Judges, JudgesUnusable
from training.data.scenes import BACKDROPS

MOST_BYTES = 3 * 2**20


@pytest.fixture(scope="module")
def judges() -> Judges:
    torch.manual_seed(0)
    return Judges.untrained(Groups({name: name for name in "abcdefgh"}))


def pictures(count: int, size_px: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, size_px, size_px, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_the_answers_do_not_depend_on_the_chunks(judges, monkeypatch):
    whole = judges.features(pictures(5))
    monkeypatch.setattr("evals.judges.judges.CHUNK", 2)
    torch.testing.assert_close(judges.features(pictures(5)), whole, atol=1e-5, rtol=1e-4)
    assert len(judges.names(pictures(5))) == len(judges.scene(pictures(5))) == 5


def test_five_groups_are_named_each_once(judges):
    for names in judges.names(pictures(3)):
        assert len(set(names)) == 5 <= len(judges.groups.names)


def test_of_several_looks_at_a_picture_the_surest_names_it(judges, monkeypatch):
    monkeypatch.setattr("evals.judges.judges.decode", lambda maps: [Box(0.3, 0.4, 0.5, 0.9)])
    scores = torch.full((4, 8), -5.0)
    scores[0, 1], scores[1, 2], scores[2, 3], scores[3, 4] = -0.1, -1.0, -2.0, -0.2  # box and whole, twice
    monkeypatch.setattr(judges, "_look", lambda pixels, boxes: (scores, scores))
    assert [names[0] for names in judges.names(pictures(2))] == ["b", "e"]


def test_larger_pictures_are_looked_at_at_64_px(judges):
    large = pictures(2).repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(judges.features(large), judges.features(pictures(2)), atol=1e-5, rtol=1e-4)


def test_what_the_detector_finds_is_named_where_it_is(judges, monkeypatch):
    monkeypatch.setattr("evals.judges.judges.decode", lambda maps: [Box(0.3, 0.4, 0.5, 0.9), Box(0.7, 0.6, 0.3, 0.8)])
    seen = judges.scene(pictures(2))[1]
    assert [(one.x, one.y, one.size) for one in seen.objects] == [(0.3, 0.4, 0.5), (0.7, 0.6, 0.3)]
    assert all(one.concept_group == one.likely[0] for one in seen.objects)
    assert seen.backdrop.startswith("plain ") or seen.backdrop in BACKDROPS


def test_a_picture_in_which_nothing_is_found_has_no_objects(judges, monkeypatch):
    monkeypatch.setattr("evals.judges.judges.decode", lambda maps: [])
    assert [seen.objects for seen in judges.scene(pictures(2))] == [(), ()]


def test_matches_are_cosines_of_each_picture_with_each_caption(judges):
    scores = judges.matches(pictures(3), ["a fox", "two cars"])
    assert scores.shape == (3, 2)
    assert scores.abs().max() <= 1


def test_saved_judges_judge_alike(judges, tmp_path):
    save(judges, tmp_path)
    loaded = Judges.load(tmp_path)
    torch.testing.assert_close(loaded.features(pictures(2)), judges.features(pictures(2)), atol=2e-2, rtol=2e-2)


def test_altered_weights_are_refused_by_name(judges, tmp_path):
    save(judges, tmp_path)
    path = tmp_path / "detector.safetensors"
    path.write_bytes(path.read_bytes()[:-2] + b"\0\1")
    with pytest.raises(JudgesUnusable, match=r"detector\.safetensors.*unclip eval judges"):
        Judges.load(tmp_path)


def test_another_format_is_refused(judges, tmp_path):
    save(judges, tmp_path)
    about = json.loads((tmp_path / "judges.json").read_text())
    (tmp_path / "judges.json").write_text(json.dumps(about | {"format_version": 99}))
    with pytest.raises(JudgesUnusable, match="format_version is 99"):
        Judges.load(tmp_path)


def test_a_concept_that_was_never_learned_has_no_group(judges):
    with pytest.raises(KeyError):
        judges.group("zebra")


def save(judges: Judges, folder) -> None:
    judges.save(folder)
    judges.groups.write(folder / "groups.json")


def test_the_shipped_judges_load_are_small_and_say_how_good_they_are():
    about = json.loads((WEIGHTS / "judges.json").read_text())
    assert all(path.stat().st_size <= MOST_BYTES for path in WEIGHTS.glob("*.safetensors"))
    assert about["figures"]["classifier"]["clean"]["top_1"]["n"] >= 1000
    assert len(Judges.load().names(pictures(1))[0]) == 5
