"""Predictions that were made elsewhere."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from merau.engine.errors import UserError
from merau.trainers.cli import main
from merau.trainers.evaluate.score import match, scores

NAMES = ("negative", "positive", "surprise")


@pytest.fixture
def files(tmp_path):
    """40 samples of two data sets; 30 are predicted right."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 40)
    said = np.where(np.arange(40) < 30, label, (label + 1) % 3)
    lines = [f"d{i % 2},sub{i % 5:02d},c{i}" for i in range(40)]
    truth, predicted = tmp_path / "truth.csv", tmp_path / "pred.csv"
    truth.write_text(
        "dataset,subject,sample,label\n" + "\n".join(f"{a},{b}" for a, b in zip(lines, label, strict=True))
    )
    shares = 0.1 + 0.7 * np.eye(3)[said]
    rows = [f"{a},{','.join(map(str, p))}" for a, p in zip(lines, shares, strict=True)]
    predicted.write_text("dataset,subject,sample,p_negative,p_positive,p_surprise\n" + "\n".join(rows))
    return predicted, truth, label, said


def test_scores_equal_those_of_scikit_learn(files):
    predicted, truth, label, said = files
    document = scores(match(predicted, truth))
    assert document["full"]["uf1"] == pytest.approx(f1_score(label, said, average="macro"), abs=1e-4)
    assert document["full"]["uar"] == pytest.approx(recall_score(label, said, average="macro"), abs=1e-4)
    assert document["full"]["acc"] == 0.75
    low, high = document["full"]["uf1_interval"]
    assert low < document["full"]["uf1"] < high
    assert document["ece"] == pytest.approx(0.05, abs=1e-3)
    assert set(document["by_database"]) == {"d0", "d1"}


def test_missing_prediction_counts_as_wrong(files, capsys):
    predicted, truth, _, _ = files
    predicted.write_text("\n".join(predicted.read_text().splitlines()[:-5]))
    assert main(["score", str(predicted), str(truth)]) == 0
    printed = capsys.readouterr()
    assert "5 samples have no prediction" in printed.err
    assert json.loads(printed.out)["full"]["samples"] == 40


def test_names_of_subjects_and_classes_may_be_spelled_otherwise(files, tmp_path):
    _, truth, _, said = files
    rows = [f"D{i % 2};{i % 5};c{i};{NAMES[c].title()}" for i, c in enumerate(said)]
    (tmp_path / "other.csv").write_text("dataset;subject;sample;predicted\n" + "\n".join(rows))
    assert scores(match(tmp_path / "other.csv", truth))["full"]["acc"] == 0.75


def test_files_of_other_samples_are_refused(files, tmp_path):
    _, truth, _, _ = files
    (tmp_path / "other.csv").write_text("dataset,subject,sample,predicted\nx,1,1,positive\n")
    with pytest.raises(UserError, match="no sample in common"):
        match(tmp_path / "other.csv", truth)
    with pytest.raises(UserError, match="lacks the column p_negative|lacks the column label or emotion or predicted"):
        (tmp_path / "other.csv").write_text("dataset,subject,sample\nx,1,1\n")
        match(tmp_path / "other.csv", truth)
