"""`merau-lab quantize` on a copy of the shipped bundle, from files that `merau-lab synth` wrote."""

import json

import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.engine import cache
from merau.engine.cuda import driver
from merau.engine.errors import Message
from merau.engine.recognizer import Recognizer
from merau.trainers.cli import main
from merau.trainers.data import labelled
from merau.trainers.data.synth.image_pairs import ImagePairs


@pytest.fixture(scope="module")
def flows(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "flows.npz"
    assert main(["synth", "flows", "--harder", "--samples", "600", "--seed", "7", "--out", str(path)]) == 0
    return path


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_a_changed_copy_passes_the_gate_and_runs(flows, tmp_path, capsys, precision):
    out, report = tmp_path / "copy", tmp_path / "report.svg"
    where = ["--data", str(flows), "--precision", precision, "--out", str(out), "--report", str(report)]
    assert main(["quantize", "default", *where]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["cost"]["cosine"] > 0.98
    for before, after in (said["cost"]["scores"][name] for name in ("uf1", "au_auc")):
        assert after >= before - 0.005
    old, new = bundles.load().card["calibration"], bundles.load(out).card["calibration"]
    assert (new["temperature"] != old["temperature"]) == (precision == "int8")  # which is what runs
    assert report.read_text().startswith("<svg")
    assert Recognizer.load(out, device="cpu").threshold == new["threshold"]


def test_the_risk_chosen_is_kept_and_one_that_cannot_be_leaves_the_bundle_as_it_was(flows, tmp_path, capsys):
    copy = tmp_path / "copy"
    said = ["quantize", "default", "--data", str(flows), "--out", str(copy), "--risk", "0.02"]
    assert main(said) == 0
    fitted = bundles.load(copy).card["calibration"]
    assert fitted["risk"] == 0.02
    assert fitted["threshold"] > bundles.load().card["calibration"]["threshold"]
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    again = ["quantize", str(copy), "--data", str(flows), "--method", "minmax"]
    assert main([*again, "--risk", "2"]) == 1
    assert main([*again, "--precision", "fp8", "--risk", "0.1"]) == 1
    assert "risk is 2.0" in (told := capsys.readouterr().err)
    assert "--risk goes with --precision int8" in told
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert list(tmp_path.iterdir()) == [copy]


def test_pairs_are_measured_and_what_holds_no_flow_is_refused(tmp_path, capsys):
    crops = np.random.default_rng(0).integers(0, 255, (2, 180, 168), dtype=np.uint8)
    columns = np.zeros(2, int), np.zeros((2, 17), np.float32), np.ones(2), np.zeros(2, int)
    np.savez(tmp_path / "pairs.npz", **vars(ImagePairs(crops, crops, *columns)))
    data = labelled.read(tmp_path / "pairs.npz", method="farneback")
    assert data.flow.shape == (2, 2, 32, 32)
    assert data.known.all()
    assert np.abs(data.flow).max() < 0.05
    (tmp_path / "none.npz").write_text("nothing")
    assert main(["quantize", "default", "--data", str(tmp_path / "none.npz"), "--out", str(tmp_path / "copy")]) == 1
    assert "none.npz holds no labelled flows" in capsys.readouterr().err


def test_build_writes_an_engine_and_names_what_runs_it(tmp_path, capsys, monkeypatch):
    where = ["--arch", "sm_89", "--out", str(tmp_path)]
    assert main(["build", "default", "--precision", "fp16", *where]) == 0
    said = json.loads(capsys.readouterr().out)
    (written,) = tmp_path.iterdir()
    assert said["engine"] == str(written)
    assert len(cache.read(written)) == said["bytes"]
    assert said["runtime"].startswith("tensorrt")
    assert (said["precision"], said["arch"]) == ("fp16", "sm_89")
    monkeypatch.setattr(driver, "probe", lambda: driver.Probe([], Message("no NVIDIA driver found")))
    assert main(["build", "default"]) == 1
    assert "Say for which GPU with --arch: no NVIDIA driver found." in capsys.readouterr().err
