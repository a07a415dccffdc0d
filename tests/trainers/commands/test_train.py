"""`merau-lab train`."""

import json

import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.recognizer import Recognizer
from merau.trainers.cli import main
from merau.trainers.export.bundle import DEFAULT


def test_train_wrong_few_shot_fails_before_drawing(shot_sets, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("merau.trainers.data.synth.flow_fields.draw", lambda *_: pytest.fail("flows were drawn first"))
    (tmp_path / "broken.csv").write_text("dataset,subject\n")
    for shots, start, sentence in (
        (shot_sets[0], [], "--few-shot needs --from"),
        (tmp_path / "broken.csv", ["--from", str(DEFAULT)], "lacks the column sample"),
    ):
        assert main(["train", "--out", str(tmp_path), "--few-shot", str(shots), *start]) == 1
        assert sentence in capsys.readouterr().err


def test_train_setting_gives_bundle_that_runs(prepared_index, tmp_path, capsys):
    yaml = tmp_path / "small.yaml"
    yaml.write_text(
        "tcae: {size_px: 32, base: 4, epochs: 1}\ndetector: {epochs: 1}\n"
        "fusion: {classifier: cosine, encoder_rate: 1e-5, epochs: 2}\nkept_back: 0.3\n"
    )
    command = ["train", "--setting", str(yaml), "--data", str(prepared_index), "--out", str(tmp_path / "b")]
    assert main(command) == 0
    recognizer = Recognizer.load(tmp_path / "b", device="cpu")
    crop = np.random.default_rng(0).integers(0, 255, CropSpec().full, dtype=np.uint8)
    assert set(recognizer.predict(crop, crop).probabilities) == {"disgust", "happiness", "surprise"}
    assert recognizer.bundle.card["input"]["apex_px"] == 32
    assert recognizer.bundle.card["calibration"]["units"].keys() == {"1", "2", "4", "6", "12"}  # as coded
    assert recognizer.bundle.card["trained_on"]["setting"]["fusion"]["encoder_rate"] == 1e-5

    capsys.readouterr()
    assert main(command) == 1
    assert "continue it with --resume" in capsys.readouterr().err
    assert main([*command, "--resume", "--seed", "5"]) == 1
    assert "setting.seed was 0 and is 5" in capsys.readouterr().err
    asked = [
        "evaluate",
        "--flows",
        str(prepared_index),
        "--task",
        "5-class",
        "--model",
        "merau-cd-tuned",
        "--bundle",
        str(tmp_path / "b"),
    ]
    assert main([*asked, "--protocol", "few-shot", "--draws", "1", "--shots", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["bundle"] == "merau-b"


def test_repeat_gives_the_same_bundle(index, tmp_path, capfd):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["train", "--model", "ststnet", "--data", str(index), "--out", str(first), "--seed", "3"]) == 0
    assert list((first / "curves").glob("events*"))
    assert main(["repeat", str(first / "run.json"), "--out", str(second)]) == 0
    assert "has changed" not in capfd.readouterr().err
    for name in ("trunk.fp32.onnx", "head.safetensors", "run.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    recorded = json.loads((first / "run.json").read_text())
    (first / "run.json").write_text(json.dumps(recorded | {"inputs": {str(index): "0"}}))
    assert main(["repeat", str(first / "run.json"), "--out", str(second)]) == 1
    said = capfd.readouterr().err
    assert f"{index} has changed." in said
    assert "is not empty" in said
    (first / "run.json").write_text('{"arguments": ["prepare"], "inputs": {}, "versions": {}}')
    assert main(["repeat", str(first / "run.json"), "--out", str(second)]) == 1
    assert "is no run.json of merau-lab train" in capfd.readouterr().err


def test_train_missing_parts_are_explained(prepared_index, tmp_path, capsys):
    command = ["train", "--out", str(tmp_path / "o")]
    assert main([*command, "--setting", "merou", "--data", str(prepared_index)]) == 1
    assert "There is no setting merou: choose one of merau, merau-cd" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 1
    assert "need --setting" in capsys.readouterr().err
    assert main([*command, "--setting", "merau-cpu"]) == 1
    assert "name them with --data" in capsys.readouterr().err
