"""`merau-lab spot compare`: our spotter and the field's methods on clips with ground truth."""

import json
from dataclasses import replace

import numpy as np

from merau.trainers.baselines.spotters.clip import SteadyClip
from merau.trainers.cli import main
from merau.trainers.evaluate.intervals import Interval
from merau.trainers.spotting.own_videos import from_table
from merau.trainers.spotting.rivals import folds


def test_compare_scores_each_method(face_clip, tmp_path, capsys):
    dataset, out = tmp_path / "set", tmp_path / "scores.json"
    dataset.mkdir()
    for name in ("a", "b", "c"):
        replace(face_clip, name=name).save(dataset)
    assert main(["spot", "compare", str(dataset), "--methods", "divide-and-conquer", "mdmd", "--out", str(out)]) == 0
    documents = json.loads(out.read_text())
    assert list(documents) == ["merau", "divide-and-conquer", "mdmd"]
    assert {document["micro"]["true"] for document in documents.values()} == {3}
    assert documents["merau"]["micro"]["found"] == 3
    assert documents["mdmd"]["published"]["SAMM-LV"] == [0.063, 0.036, 0.045]
    assert capsys.readouterr().out.startswith("| method | micro F1 |")
    assert main(["spot", "compare", str(dataset), "--methods", "magic"]) == 1
    assert "choose among lbp-difference" in capsys.readouterr().err


def test_compare_needs_clips(tmp_path, capsys):
    assert main(["spot", "compare", str(tmp_path)]) == 1
    assert "no clips" in capsys.readouterr().err


def test_learning_methods_are_tested_on_other_people():
    def clips(*subjects):
        return [SteadyClip(f"c{i}", subject, np.zeros((9, 1, 1)), ()) for i, subject in enumerate(subjects)]

    assert folds(clips("a", "b", "a", "c")) == [{0, 2}, {1}, {3}]
    assert folds(clips("a", "a", "a", "a")) == [{0, 3}, {1}, {2}]


def test_table_gives_the_spans_of_a_video(tmp_path):
    intervals = [Interval("anna", "day1.mp4", "micro", 3, 9), Interval("anna", "day2", "macro", 5, 40)]
    subject, spans = from_table(tmp_path / "day2.mp4", intervals, np.arange(30) / 10)
    assert subject == "anna"
    assert [(span["kind"], span["onset_s"], span["offset_s"]) for span in spans] == [("macro", 0.5, 2.9)]
