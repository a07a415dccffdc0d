"""Faces of several geometries: they move as their Action Units say, wherever they lie in the crop."""

from dataclasses import replace

import numpy as np
import pytest

from merau.trainers.data.synth import faces
from merau.trainers.data.synth.action_units import MOVES, displacement, field
from merau.trainers.data.synth.faces import BANKS, GEOMETRIES, Grid, Layout, Variety, draw_faces, draw_skin

AXIS = (np.arange(28) + 0.5) / 28
GRID = Grid(AXIS, AXIS)
STILL = Layout(squash=(1, 1), down=0, down_sd=0, across_sd=0, across_sigma=0, scale_sigma=0)
PLAIN = Variety(STILL)


@pytest.mark.parametrize("geometry", BANKS)
def test_draw_faces_brows_rise_and_corners_go_out(geometry: str):
    moves = draw_faces(np.random.default_rng(0), 8, geometry, GRID, variety=PLAIN).moves.mean(0)
    assert moves.shape == (18, 2, 2, 28, 28)
    brows = moves[MOVES.index(2), :, 1]
    assert brows[0, :5, :8].min() < -0.5 < -0.1 < brows[0, :5, 20:].min()  # the image's left side alone
    assert brows[1, :5, 20:].min() < -0.5
    smile = moves[MOVES.index(12)].sum(0)
    assert smile[0, 16:24, :10].min() < -0.3
    assert smile[0, 16:24, 18:].max() > 0.3
    assert smile[1, 16:24].min() < -0.3


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_draw_faces_are_reproducible_and_differ(geometry: str):
    first, second = (draw_faces(np.random.default_rng(3), 4, geometry, GRID) for _ in range(2))
    assert np.array_equal(first.moves, second.moves)
    assert first.moves.dtype == first.rigid.dtype == first.iris.dtype == np.float32
    assert first.rigid.shape == (4, 6, 2, 28, 28)
    assert np.abs(first.moves[0] - first.moves[1]).max() > 0.1


def test_draw_faces_squash_moves_the_mouth_up():
    squashed = Variety(replace(STILL, squash=(0.7, 0.7)))
    for geometry in BANKS:
        rows = []
        for variety in (PLAIN, squashed):
            chin = draw_faces(np.random.default_rng(1), 6, geometry, GRID, variety=variety).moves[:, MOVES.index(17)]
            rows.append((AXIS[:, None] * np.abs(chin[:, :, 1])).sum() / np.abs(chin[:, :, 1]).sum())
        assert rows[1] < rows[0] - 0.08


def test_draw_faces_held_out_are_other_people():
    kept, held = (draw_faces(np.random.default_rng(2), 12, "scans", GRID, out, PLAIN) for out in (False, True))
    apart = np.abs(kept.moves[:, None] - held.moves[None]).max((2, 3, 4, 5, 6))
    assert apart.min() > 0.02


def test_draw_faces_head_turn_is_that_of_the_scan():
    rng = np.random.default_rng(5)
    for _ in range(20):
        zoom = draw_faces(rng, 1, "mixed", GRID, variety=PLAIN).rigid[0, faces.RIGID.index("zoom")]
        assert zoom[0, 14, 24] > 0.15 > -0.15 > zoom[0, 14, 3]


def test_motion_is_linear_in_the_intensity():
    drawn = draw_faces(np.random.default_rng(0), 2, "mixed", GRID)
    intensity = np.zeros((3, 18, 2))
    intensity[:, MOVES.index(4), 1] = (0, 1, 2)
    motion = drawn.motion(np.array([1, 1, 1]), intensity)
    assert not motion[0].any()
    assert np.allclose(motion[2], 2 * drawn.moves[1, MOVES.index(4), 1])


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_draw_skin_moves_points_as_its_fields(geometry: str):
    skin = draw_skin(np.random.default_rng(1), geometry)
    raised = {(2, "left"): 2.0, (2, "right"): 1.0}
    points = np.stack(np.meshgrid(skin.xs[4:-4], skin.ys[4:-4]), axis=-1)
    moved = displacement(points, raised, skin)
    expected = (2 * skin.moves[MOVES.index(2), 0] + skin.moves[MOVES.index(2), 1])[:, 4:-4, 4:-4]
    assert np.allclose(np.moveaxis(moved, -1, 0), expected, atol=1e-3)
    assert np.allclose(field(skin.xs[4:-4], skin.ys[4:-4], raised, skin), expected, atol=1e-3)
    assert moved[..., 1].min() < -1
