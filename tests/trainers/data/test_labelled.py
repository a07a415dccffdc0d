"""Reading labelled flows of any kind."""

import numpy as np

from merau.trainers.cli import main
from merau.trainers.data import labelled
from merau.trainers.data.synth.image_pairs import ImagePairs


def test_read_pairs_measured_other_files_refused(tmp_path, capsys):
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
