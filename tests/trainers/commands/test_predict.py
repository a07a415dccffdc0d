"""`merau-lab predict`."""

import csv

import cv2
import numpy as np

from merau.trainers.cli import main
from merau.trainers.data import flow_set
from merau.trainers.data.synth.flow_fields import FlowSettings, flows


def test_predict_writes_row_per_sample(tmp_path):
    drawn = flows(np.random.default_rng(3), 60, FlowSettings(no_expression=0))
    index, out = tmp_path / "set" / "index.csv", tmp_path / "new" / "pred.csv"
    rows = [{"dataset": "d", "subject": f"s{i % 7}", "sample": f"c{i}"} for i in range(60)]  # no label column
    flow_set.write(index, rows, [flow_set.encode_flow(flow) for flow in drawn.flow])
    assert main(["predict", "--flows", str(index), "--out", str(out)]) == 0
    with out.open() as file:
        result = list(csv.DictReader(file))
    assert [(r["dataset"], r["subject"], r["sample"]) for r in result] == [tuple(r.values())[:3] for r in rows]
    three = np.array([[float(r[f"p_{name}"]) for name in flow_set.CLASSES] for r in result])
    assert np.allclose(three.sum(1), 1, atol=1e-4)
    assert (three.argmax(1) == drawn.label).mean() > 0.8
    assert {"au_1", "au_26", "e_0"} <= set(result[0])
    assert all(0 <= float(r["au_12"]) <= 1 for r in result)


def test_predict_missing_files_are_explained(tmp_path, capsys):
    arguments = ["predict", "--flows", str(tmp_path / "none.csv"), "--out", str(tmp_path / "pred.csv")]
    assert main(arguments) == 1
    assert main([*arguments[:3], "--bundle", str(tmp_path / "none"), *arguments[3:]]) == 1
    first, second = capsys.readouterr().err.splitlines()
    index = tmp_path / "index.csv"
    index.write_text("dataset,subject,sample,label,flow_png\nd,s,d,0,grey.png\n")
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((28, 28), np.uint8))
    assert main(["predict", "--flows", str(index), "--out", str(tmp_path / "pred.csv")]) == 1
    printed = capsys.readouterr().err
    assert "grey.png is 28 x 28" in printed
    assert "\r" not in printed
    assert printed.count("\n") == 1
    assert "none.csv cannot be read" in first
    assert "There is no bundle" in second
