"""Rendered faces: a small made-up mask, whose motions are known."""

from pathlib import Path

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.data.synth import scans
from merau.trainers.data.synth.action_units import MOVES
from merau.trainers.data.synth.face_model import FaceModel
from merau.trainers.data.synth.scans import COLUMNS, ROWS, Scans, View, basis, derive, draw_view

NAMES = {name for ways in scans.WAYS.values() for way in ways for name in way}
HOLES = ((-3.2, 3.5), (3.2, 3.5), (0.0, -3.4))  # cm


def mask_model() -> FaceModel:
    """A flat mask of 20 cm with three holes; a brow that rises, and a chin that drops."""
    axis = np.linspace(-10, 10, 41)
    x, y = np.meshgrid(axis, axis)
    vertices = np.stack([x, y, 5 - 0.02 * (x**2 + y**2)], -1).reshape(-1, 3).astype(np.float32)
    index = np.arange(x.size).reshape(x.shape)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    middle = vertices[quads].mean(1)[:, :2]
    quads = quads[np.all([np.abs(middle - hole).max(1) > 0.8 for hole in HOLES], axis=0)]
    shapes = {name + side: np.zeros_like(vertices) for name in NAMES for side in scans.IMAGE_SIDES}
    still = np.zeros_like(vertices)
    still[0] = 1e-3  # peaks are divided by
    shapes = {name: still.copy() for name in shapes}
    right = np.exp(-((vertices[:, 0] + 3) ** 2) - (vertices[:, 1] - 5.5) ** 2)
    shapes["browInnerUp_R"][:, 1] = right
    for side in scans.IMAGE_SIDES:
        del shapes["jawOpen" + side]
    shapes["jawOpen"] = np.outer(vertices[:, 1] < -5, (0, -1, 0)).astype(np.float32)
    identities = np.random.default_rng(0).normal(0, 0.02, (3, *vertices.shape)).astype(np.float32)
    return FaceModel(vertices, quads, shapes, identities)


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return mask_model()


def frontal(turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> View:
    return View(np.zeros(3), turn_deg, 100.0, (0,) * len(MOVES))


def test_fields_move_where_the_shape_moves(model: FaceModel):
    fields = Scans(model).fields(frontal())
    assert fields.shape == (21, 2, 2, ROWS, COLUMNS)
    brow = fields[MOVES.index(1), 0, 1]
    row, column = np.unravel_index(brow.argmin(), brow.shape)
    assert brow.min() == pytest.approx(-1, abs=0.1)
    assert (row, column) == pytest.approx((9 + 32 * 0.08, 5 + 32 * 0.24), abs=2)  # above the eye on the image's left
    jaw = fields[MOVES.index(26), :, 1]
    assert jaw[0, -12, 12] > 0.5 > 0.1 > jaw[1, -12, 12]  # without sides of its own it is split


def test_fields_of_head_turn_are_hidden_by_the_nearer(model: FaceModel):
    plain = Scans(model).fields(frontal())
    wall = model.neutral * (1, 1, 0) - (0, 0, 20)
    count = len(model.neutral)
    doubled = FaceModel(
        np.concatenate([model.neutral, wall]).astype(np.float32),
        np.concatenate([model.quads, model.quads + count]),
        {name: np.concatenate([shape, shape + 1]) for name, shape in model.shapes.items()},
        np.concatenate([model.identities, 0 * model.identities], axis=1),
    )
    behind = Scans(doubled).fields(frontal())
    inside = (slice(12, 16), slice(20, 26))  # forehead, away from the holes
    np.testing.assert_allclose(behind[(20, 1, 0, *inside)], plain[(20, 1, 0, *inside)], atol=0.02)


def test_derive_keeps_the_faces(model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scans, "RANK", 5)
    file = tmp_path / "faces.npz"
    assert derive(model, file, training=6, held_out=2) > 0.8
    kept = basis(file)
    assert kept.coefficients.shape == (21, 8, 5)
    rng = np.random.default_rng(0)
    first = Scans(model).fields(draw_view(rng, 3))
    assert np.corrcoef(kept.face(0)[18:].ravel(), first[18:].ravel())[0, 1] > 0.99


def test_model_without_a_shape_is_refused(model: FaceModel):
    lacking = FaceModel(model.neutral, model.quads, {}, model.identities)
    with pytest.raises(UserError, match="lacks the shape browInnerUp"):
        Scans(lacking)
