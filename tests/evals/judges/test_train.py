import json

import pytest
import torch

from evals.judges import renders as shown
from evals.judges import train as judges_training
from evals.judges.judges import Judges
from evals.judges.train import STAGES, groups_for, stage_config, train
from tests.evals.judges.tiny_bank import SHARES, bank
from training import loop
from training.data.errors import DataError


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(judges_training.SpriteBank, "load", lambda *_: bank())
    monkeypatch.setattr(shown, "EVEN", SHARES)
    monkeypatch.setattr(loop, "plot_losses", lambda *_: None)


def test_training_leaves_judges_with_figures_and_goes_on_where_it_was(tmp_path):
    moments = []
    budget = dict.fromkeys(judges_training.STAGES, 1e-6)
    train(tmp_path, tmp_path, lambda name, *_: moments.append(name), minutes=budget, measured=12)
    assert moments == ["detector", "classifier", "matcher"]
    figures = json.loads((tmp_path / "judges" / "judges.json").read_text())["figures"]
    assert figures["groups"] == 4
    assert figures["detector"]["altered_found_false"]["objects"]["n"] == 12
    assert figures["portraits"]["count"]["n"] == 12
    assert "one large object exactly in the middle: count found right" in (tmp_path / "judges.md").read_text()
    before = Judges.load(tmp_path / "judges").detector.state_dict()
    train(tmp_path, tmp_path, lambda name, *_: moments.append(name), minutes=budget, measured=12)
    after = Judges.load(tmp_path / "judges").detector.state_dict()
    assert len(moments) == 3
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_training_goes_on_from_given_judges(tmp_path):
    budget = dict.fromkeys(judges_training.STAGES, 1e-6)
    given = train(tmp_path, tmp_path / "first", lambda *_: None, minutes=budget, measured=12)
    with torch.no_grad():
        for net in (given.detector, given.classifier, given.matcher):
            for parameter in net.parameters():
                parameter.add_(1.0)
    given.save(tmp_path / "given")
    (tmp_path / "given" / "groups.json").write_bytes((tmp_path / "first" / "judges" / "groups.json").read_bytes())
    after = train(tmp_path, tmp_path / "on", lambda *_: None, minutes=budget, measured=12, init_from=tmp_path / "given")
    for net, start in ((after.detector, given.detector), (after.classifier, given.classifier), (after.matcher, given.matcher)):
        pairs = zip(net.parameters(), start.parameters(), strict=True)
        assert all(torch.allclose(now, before, atol=0.2) for now, before in pairs)


def test_a_judge_without_minutes_stays_as_it_was(tmp_path):
    budget = dict.fromkeys(judges_training.STAGES, 1e-6)
    given = train(tmp_path, tmp_path / "first", lambda *_: None, minutes=budget, measured=12)
    given.save(tmp_path / "given")
    (tmp_path / "given" / "groups.json").write_bytes((tmp_path / "first" / "judges" / "groups.json").read_bytes())
    kept = {"classifier": 0.0, "matcher": 0.0}
    train(tmp_path, tmp_path / "on", lambda *_: None, minutes=budget | kept, measured=12, init_from=tmp_path / "given")
    before, after = (
        json.loads((folder / "judges.json").read_text())["sha256"]
        for folder in (tmp_path / "given", tmp_path / "on" / "judges")
    )
    assert {name for name in before if before[name] == after[name]} == {"classifier", "matcher"}


def test_a_budget_for_a_judge_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="no judge 'decoder'; choose classifier, detector, matcher"):
        train(tmp_path, tmp_path, lambda *_: None, minutes={"decoder": 1.0})


def test_a_bank_with_other_concepts_has_groups_of_its_own(tmp_path):
    groups = groups_for(bank(), tmp_path)
    assert groups.names == ("bar", "disc", "ring", "square")
    assert (tmp_path / "judges" / "groups.json").is_file()


@pytest.mark.parametrize(("device", "times"), [("cpu", 1), ("cuda", 4)])
def test_a_gpu_learns_from_larger_batches_for_the_minutes_asked_for(device, times):
    config = stage_config("detector", {"detector": 2.5}, device)
    assert (config.batch, config.minutes) == (times * STAGES["detector"].batch, 2.5)
    assert stage_config("matcher", {"detector": 2.5}, device).minutes == STAGES["matcher"].minutes


def test_judges_that_go_on_learn_more_slowly(tmp_path, monkeypatch):
    rates = []

    class Noted:
        def __init__(self, task, config, *_):
            rates.append(config.learning_rate / STAGES[task.name].learning_rate)

        def run(self):
            pass

    monkeypatch.setattr(judges_training, "Loop", Noted)
    given = train(tmp_path, tmp_path / "first", lambda *_: None, measured=12)
    given.save(tmp_path / "given")
    (tmp_path / "given" / "groups.json").write_bytes((tmp_path / "first" / "judges" / "groups.json").read_bytes())
    train(tmp_path, tmp_path / "on", lambda *_: None, measured=12, init_from=tmp_path / "given")
    assert rates == [1.0] * 3 + [0.5] * 3
