"""`merau-lab synth`."""

import json

import cv2
import numpy as np

from merau.trainers.cli import main
from merau.trainers.data.synth.clips import ASTRONAUT


def test_synth_clips_without_face_is_explained(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    arguments = ["synth", "clips", str(tmp_path / "grey.png"), "--out", str(tmp_path), "--duration", "1"]
    assert main(arguments) == 1
    assert "The picture has 0 face(s)" in capsys.readouterr().err


def test_synth_flows_are_those_of_the_seed(tmp_path):
    for name in ("one.npz", "two.npz"):
        assert main(["synth", "flows", "--samples", "3", "--seed", "4", "--out", str(tmp_path / name)]) == 0
    one, two = (np.load(tmp_path / name) for name in ("one.npz", "two.npz"))
    assert one.files == ["flow", "label", "aus", "peak_px", "known"]
    assert all(np.array_equal(one[name], two[name]) for name in one.files)


def test_synth_clips_of_several_portraits_take_turns(tmp_path):
    mirrored = tmp_path / "mirrored.png"
    cv2.imwrite(str(mirrored), cv2.imread(str(ASTRONAUT))[:, ::-1])
    arguments = ["synth", "clips", str(ASTRONAUT), str(mirrored), "--out", str(tmp_path), "--count", "3"]
    assert main([*arguments, "--duration", "0.2", "--geometry", "scans", "--shading", "0.02"]) == 0
    truths = [json.loads((tmp_path / f"mixed-{i}.truth.json").read_text()) for i in range(3)]
    assert [truth["source"] for truth in truths] == ["astronaut.png", "mirrored.png", "astronaut.png"]
    assert {(truth["geometry"], truth["shading"]) for truth in truths} == {("scans", 0.02)}


def test_synth_scans_of_no_model_is_explained(tmp_path, capsys):
    assert main(["synth", "scans", str(tmp_path), "--out", str(tmp_path / "faces.npz")]) == 1
    assert "generic_neutral_mesh.obj: give the folder of ICT-FaceKit" in capsys.readouterr().err
    assert not (tmp_path / "faces.npz").exists()
