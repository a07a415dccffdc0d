"""`merau-lab synth`."""

import cv2
import numpy as np

from merau.trainers.cli import main


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
