"""From recordings to a bundle: folds keep apart what must be, and the exported net equals the trained one."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.stream.spotter import KINDS, Thresholds
from merau.stream.spotter.classifier import FEATURES
from merau.stream.spotter.span_net import SpanNet, span_net
from merau.trainers.cli import main
from merau.trainers.spotting.boosting import boost
from merau.trainers.spotting.dataset import list_clips
from merau.trainers.spotting.folds import cross_validate, folds, training_data
from merau.trainers.spotting.net import KindEnsemble, NetSettings, train_nets
from merau.trainers.spotting.record import record
from merau.trainers.spotting.recordings import record_all
from merau.trainers.spotting.report import compare
from merau.trainers.spotting.train import LEFT_OUT, install, read_left_out, retune, write_model
from merau.trainers.spotting.tune import choose_thresholds, softmax

QUICK = NetSettings(epochs=6, batch=16, nets=1, dropout=0.0)


@pytest.fixture(scope="module")
def recordings(face_clip):
    one = record(face_clip)
    models, people = ("table", "warps"), ("a", "b", "c")
    return [replace(one, motion_model=model, identity=person) for model in models for person in people]


@pytest.fixture(scope="module")
def model(recordings) -> bytes:
    nets = train_nets(*training_data(recordings), QUICK)
    card = {"kinds": list(KINDS), "features": list(FEATURES), "thresholds": vars(Thresholds()), "trained_on": {}}
    return write_model(KindEnsemble(nets.nets, 1.3), card)


def test_folds_share_neither_motion_model_nor_identity(recordings):
    tested = []
    for train, test in folds(recordings):
        assert not {recordings[i].identity for i in train} & {recordings[i].identity for i in test}
        assert not {recordings[i].motion_model for i in train} & {recordings[i].motion_model for i in test}
        tested += test
    assert sorted(tested) == list(range(len(recordings)))


def test_exported_net_equals_the_trained_one(recordings, model):
    nets = train_nets(*training_data(recordings), QUICK)
    inputs = recordings[0].inputs
    np.testing.assert_allclose(SpanNet(model)(inputs), softmax(nets.logits(inputs), 1.3), atol=1e-4)


def test_net_and_trees_learn_what_they_are_shown(recordings):
    data, micro = training_data(recordings * 4), recordings[0].labels == KINDS.index("micro")
    for learned in (train_nets(*data, replace(QUICK, epochs=30)).logits, boost(*data)):
        said = learned(recordings[0].inputs)[:, KINDS.index("micro")]
        assert said[micro].mean() > said[~micro].mean()


def test_every_recording_is_left_out_once(recordings):
    said = cross_validate(recordings, lambda *data: train_nets(*data, replace(QUICK, epochs=1)).logits)
    assert [len(one) for one in said] == [len(recording.labels) for recording in recordings]


def test_thresholds_and_report_come_from_what_was_left_out(recordings):
    perfect = [5.0 * np.eye(len(KINDS))[np.maximum(r.labels, 0)] for r in recordings]
    thresholds = choose_thresholds(recordings, [softmax(one, 1.0) for one in perfect])
    report = compare(recordings, {"net": perfect})
    assert thresholds.final >= 0.8  # the highest of those that are equally good
    assert report["net"]["all"]["f1"] == 1.0
    assert report["rules"]["warps"]["true"] == 3
    assert report["net"]["all"]["found_of_true"]["1.4-100 px"] == [6, 6]


def test_bundle_takes_the_classifier_and_other_thresholds(model, tmp_path):
    copy = shutil.copytree(bundles.SHIPPED / "default", tmp_path / "copy")
    before = bundles.load(copy)
    install(retune(model, Thresholds(final=0.7)), copy)
    after = bundles.load(copy)
    assert after.sha256 != before.sha256
    assert span_net(after).thresholds.final == 0.7
    assert after.content[bundles.HEAD] == before.content[bundles.HEAD]


def test_left_out_predictions_are_no_clip(face_clip, tmp_path):
    face_clip.save(tmp_path)
    record_all(tmp_path)
    np.savez_compressed(tmp_path / LEFT_OUT, np.zeros((3, len(KINDS))))
    assert [path.name for path in list_clips(tmp_path)] == ["clip.npz"]
    assert [one.shape for one in read_left_out(tmp_path, 1)] == [(3, len(KINDS))]


def test_commands_name_a_folder_without_clips(tmp_path, capsys):
    assert main(["spot", "evaluate", str(tmp_path)]) == 1
    assert "holds no clips" in capsys.readouterr().err
