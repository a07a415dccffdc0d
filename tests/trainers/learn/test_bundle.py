"""Export of MERAU as trained stage by stage."""

from dataclasses import replace

import numpy as np

from merau.calib.probability import binned_calibration_error
from merau.engine.recognizer import Recognizer
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import FlowSettings, flows
from merau.trainers.export.bundle import RISK, trunk_inputs
from merau.trainers.learn.bundle import fit_calibration, write_bundle
from merau.trainers.learn.merau import TrainingPairs, train_merau
from tests.trainers.learn.small import SMALL


def test_write_bundle_calibrates_aus_on_held_out_subjects(data, start, tmp_path):
    without_au = replace(SMALL, tcae=None, detector=None, fusion=replace(SMALL.fusion, epochs=1))
    trained = train_merau(data, without_au, start)
    held, asked = (flows(np.random.default_rng(seed), 600, FlowSettings(no_expression=0)) for seed in (1, 2))
    held.aus[:, AUS.index(26)] = 0
    held.aus[500:] = np.nan  # not coded
    write_bundle(
        replace(trained, held_out=TrainingPairs(held, None)), tmp_path, name="units", flow="dis", trained_on={}
    )
    recognizer = Recognizer.load(tmp_path, device="cpu")
    assert "12" in (fitted := recognizer.bundle.card["calibration"]["units"])
    assert "26" not in fitted
    logits = recognizer.trunk.embed(**trunk_inputs(0, asked.flow))[1]
    raw, calibrated = (
        binned_calibration_error(predicted.ravel(), asked.aus.ravel())
        for predicted in (1 / (1 + np.exp(-logits)), recognizer.au_probabilities(logits))
    )
    assert calibrated < raw / 2


def test_fit_calibration_without_threshold_never_certain():
    logits = np.random.default_rng(0).normal(size=(400, 3))
    assert fit_calibration(logits, logits.argmin(1))["threshold"] == 1  # always wrong
    fitted = fit_calibration(logits, logits.argmax(1))
    assert fitted["threshold"] < 1
    assert fitted["risk"] == RISK
