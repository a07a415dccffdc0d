"""Reading a face model: ICT-FaceKit's folder, and what is none."""

from pathlib import Path

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.data.synth import face_model
from merau.trainers.data.synth.face_model import read_face_model

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5], [9, 9, 9]])


def write_obj(file: Path, vertices: np.ndarray) -> None:
    lines = [f"v {x} {y} {z}" for x, y, z in vertices]
    file.write_text("\n".join(["# made", *lines, "vt 0 0", "f 1/1 2/1 3/1 4/1", "f 1/1 2/1 5/1"]))


def test_read_folder_gives_offsets_of_the_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(face_model, "VERTICES", 4)  # the fifth stands for teeth and eyeballs
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    write_obj(folder / "generic_neutral_mesh.obj", CORNERS)
    write_obj(folder / "identity000.obj", 2 * CORNERS)
    write_obj(folder / "browDown_L.obj", CORNERS + (0, 0, 1))
    model = read_face_model(tmp_path)
    assert model.neutral.shape == (4, 3)
    assert model.quads.tolist() == [[0, 1, 2, 3]]
    assert np.allclose(model.identities, CORNERS[None, :4])
    assert list(model.shapes) == ["browDown_L"]
    assert np.allclose(model.shapes["browDown_L"], [0, 0, 1])


def test_read_of_no_model_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="lacks generic_neutral_mesh.obj"):
        read_face_model(tmp_path)
    np.savez(tmp_path / "other.npz", neutral=CORNERS)
    with pytest.raises(UserError, match="holds no face model"):
        read_face_model(tmp_path / "other.npz")
    with pytest.raises(UserError, match="holds no face model"):
        read_face_model(tmp_path / "missing.npz")
