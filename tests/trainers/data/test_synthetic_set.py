"""A flow set of animated portraits: whole, seeded, and answered by the shipped bundle."""

import numpy as np

from merau.engine.recognizer import Recognizer
from merau.trainers.baselines.frames import read_strip
from merau.trainers.cli import main
from merau.trainers.data import flow_set
from merau.trainers.data.synthetic_set import DATABASES
from merau.trainers.evaluate.predict import predict


def test_synth_set_is_reproducible_and_classified(tmp_path):
    for folder, samples in (("one", 17), ("again", 2)):
        assert main(["synth", "set", "--out", str(tmp_path / folder), "--samples", str(samples), "--seed", "7"]) == 0
    data, again = (flow_set.read(tmp_path / folder / "index.csv") for folder in ("one", "again"))
    assert len(data) == 17
    assert np.array_equal(data.image[:2], again.image)
    assert set(data.dataset) == set(DATABASES)
    assert all(data.aus)
    unlabelled = data.label == flow_set.UNLABELLED
    assert set(data.emotion[unlabelled]) <= {"others", "tense"}
    strip = read_strip(data.frames[0])
    assert strip.shape == (8, 96, 96)
    assert np.abs(np.diff(strip.astype(int), axis=0)).mean() > 0.5
    predicted = predict(Recognizer.load(), data, flow_set.read_flows(data)).classes.argmax(1)
    assert (predicted == data.label)[~unlabelled].mean() > 0.6
