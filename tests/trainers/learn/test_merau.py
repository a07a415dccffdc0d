"""MERAU stage by stage on a small prepared set."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from merau.engine import heads
from merau.engine.errors import UserError
from merau.trainers.data import flow_set
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.export.bundle import trunk_inputs
from merau.trainers.learn import settings
from merau.trainers.learn.bundle import make_head
from merau.trainers.learn.loop import LOG
from merau.trainers.learn.merau import coded_units, neighbours_wanted, train_merau
from merau.trainers.learn.settings import Setting
from tests.trainers.learn.small import SMALL


def stop_when(monkeypatch, log, line):
    """Press Ctrl-C as soon as `line` stands in the log."""
    replace_file = os.replace

    def replaced(source, target):
        replace_file(source, target)
        if Path(target) == log and line in log.read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replaced)


def test_train_merau_resumed_twice_gives_equal_weights(data, start, tmp_path, monkeypatch):
    folders = tmp_path / "whole", tmp_path / "stopped"
    for folder in folders:
        folder.mkdir()
    whole = train_merau(data, SMALL, start, folder=folders[0])
    for line in ("tcae,2", "fusion,1"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_when(patch, folders[1] / LOG, line)
            train_merau(data, SMALL, start, folder=folders[1])
    resumed = train_merau(data, SMALL, start, folder=folders[1])
    assert all(
        torch.equal(a, b) for a, b in zip(*(m.model.state_dict().values() for m in (whole, resumed)), strict=True)
    )
    assert (folders[0] / LOG).read_text() == (folders[1] / LOG).read_text()
    assert len((folders[0] / LOG).read_text().splitlines()) == 1 + 4 + 3 + 4


@pytest.mark.parametrize("classifier", settings.CLASSIFIERS)
def test_train_merau_classifier_becomes_engine_head(classifier, data, start):
    quick = replace(SMALL.tcae, epochs=1), replace(SMALL.detector, epochs=1)
    fusion = replace(SMALL.fusion, classifier=classifier, epochs=15, augment=False)
    trained = train_merau(data, Setting(*quick, fusion, kept_back=0.3), start)
    asked = trained.held_out.flows
    inputs = trunk_inputs(32, asked.flow, trained.held_out.apex)
    with torch.no_grad():
        e = trained.model(*map(torch.from_numpy, inputs.values()))[0]
        shown = trunk_inputs(32, trained.training.flows.flow, trained.training.apex)
        known = trained.model(*map(torch.from_numpy, shown.values()))[0].numpy()
        head = make_head(trained.model, trained.classes, known, trained.training.flows.label)
        assert isinstance(head, heads.KINDS[classifier])
        if classifier != "prototypes":
            assert np.allclose(head.logits(e.numpy()), trained.model.classify(e).numpy(), atol=1e-3)
    assert (head.logits(e.numpy()).argmax(1) == asked.label).mean() > 0.7


def test_train_merau_balances_and_holds_subjects_out(data, start):
    label = np.repeat([0, 1, 2], [10, 50, 12])
    assert [set(neighbours_wanted(label)[label == c]) for c in range(3)] == [{4}, {0}, {3}]  # eq. 11
    without_au = replace(SMALL, tcae=None, detector=None, fusion=replace(SMALL.fusion, epochs=1))
    trained = train_merau(data, without_au, start)
    assert trained.model.au is None
    assert trained.classes == ("disgust", "happiness", "surprise")
    people = {str(person) for person in data.subject}
    assert len(people) == 6
    assert len(trained.held_out) == 8
    assert len(trained.training) > len(data) - 8  # and neighbours


def test_coded_units_undecided_are_nan(data):
    codes = np.array(["4+12 or 14", "4", ""])
    units = coded_units(replace(data.take(np.arange(3)), aus=codes))
    left_open = [AUS.index(au) for au in (12, 14)]
    assert np.isnan(units[0, left_open]).all()
    assert np.isnan(units[0]).sum() == 2
    assert units[0, AUS.index(4)] == 1
    assert units[1].sum() == 1
    assert np.isnan(units[2]).all()


def test_train_merau_without_crops_is_refused(data):
    bare = flow_set.FlowSet(**{**vars(data), "crops": np.full(len(data), "")})
    with pytest.raises(UserError, match="crops_png is not a strip of crops"):
        train_merau(bare, SMALL, None)
