"""`merau-lab quantize` on a copy of the shipped bundle."""

import json

import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.engine.recognizer import Recognizer
from merau.trainers.cli import main


@pytest.fixture(scope="module")
def flows(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "flows.npz"
    assert main(["synth", "flows", "--harder", "--samples", "600", "--seed", "7", "--out", str(path)]) == 0
    return path


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_quantize_copy_passes_gate_and_runs(flows, tmp_path, capsys, precision):
    out, report = tmp_path / "copy", tmp_path / "report.svg"
    where = ["--data", str(flows), "--precision", precision, "--out", str(out), "--report", str(report)]
    assert main(["quantize", "default", *where]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["cost"]["cosine"] > 0.98
    for before, after in (result["cost"]["scores"][name] for name in ("uf1", "au_auc")):
        assert after >= before - 0.005
    old, new = bundles.load().card["calibration"], bundles.load(out).card["calibration"]
    refitted = any(new[name] != old[name] for name in ("threshold", "units"))
    assert refitted == (precision == "int8")  # which is what runs
    assert report.read_text().startswith("<svg")
    assert Recognizer.load(out, device="cpu").threshold == new["threshold"]


def test_quantize_impossible_risk_leaves_bundle_unchanged(flows, tmp_path, capsys):
    copy = tmp_path / "copy"
    result = ["quantize", "default", "--data", str(flows), "--out", str(copy), "--risk", "0.02"]
    assert main(result) == 0
    fitted = bundles.load(copy).card["calibration"]
    assert fitted["risk"] == 0.02
    assert fitted["threshold"] > bundles.load().card["calibration"]["threshold"]
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    again = ["quantize", str(copy), "--data", str(flows), "--method", "minmax"]
    assert main([*again, "--risk", "2"]) == 1
    assert main([*again, "--precision", "fp8", "--risk", "0.1"]) == 1
    assert "risk is 2.0" in (printed := capsys.readouterr().err)
    assert "--risk needs --precision int8" in printed
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert list(tmp_path.iterdir()) == [copy]


def test_quantize_data_of_other_classes_is_refused(flows, tmp_path, capsys):
    columns = dict(np.load(flows))
    np.savez(tmp_path / "other.npz", **columns | {"label": columns["label"] + 1})
    data = ["--data", str(flows), str(tmp_path / "other.npz")]
    assert main(["quantize", "default", *data, "--out", str(tmp_path / "copy")]) == 1
    assert "other.npz has samples of class 4 (unknown), but the bundle's classes are" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()
