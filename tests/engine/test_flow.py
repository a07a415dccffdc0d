import cv2
import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.flow import flow, flow_picture, motion_basis, pair_flow, remove_global_motion, strain, texture
from merau.trainers.data.synth.clips import ASTRONAUT

SPEC = CropSpec()
HEAD = np.array([[1.4, 0.6, -0.3, 0.8], [-0.7, 0.2, 0.5, -0.4]])  # px of [1, x, y, z] for u and v


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """The astronaut's face, (180, 168) uint8."""
    grey = cv2.cvtColor(cv2.imread(str(ASTRONAUT)), cv2.COLOR_BGR2GRAY)
    height, width = SPEC.full
    return np.ascontiguousarray(grey[20 : 20 + height, 145 : 145 + width])


def moved(image: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """`image` with its content moved by a smooth `motion` (2, H, W)."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    u, v = motion.astype(np.float32)
    return cv2.remap(image, columns - u, rows - v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def bump(px: float) -> np.ndarray:
    """A patch of skin at the mouth's corner that moves up: (2, H, W)."""
    rows, columns = np.mgrid[: SPEC.full[0], : SPEC.full[1]]
    return np.stack([0 * rows, -px * np.exp(-((columns - 60) ** 2 + (rows - 140) ** 2) / (2 * 9**2))])


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_flow_points_from_onset_to_apex(face, method):
    shift = np.ones((2, *SPEC.full)) * np.array([0.8, -0.5])[:, None, None]
    seen = flow(face, moved(face, shift), method=method)
    assert (seen.shape, seen.dtype) == ((2, 180, 168), np.float32)
    assert np.median(seen[:, 30:-30, 30:-30], axis=(1, 2)) == pytest.approx([0.8, -0.5], abs=0.1)


def test_unknown_flow_method_is_refused(face):
    with pytest.raises(UserError, match="raft"):
        flow(face, face, method="raft")


def test_head_motion_is_removed_and_skin_motion_kept(face):
    head = np.tensordot(HEAD, motion_basis(SPEC), axes=1)
    left = remove_global_motion((head + bump(1.0)).astype(np.float32), texture(face), spec=SPEC)
    still = np.hypot(*bump(1.0)) < 0.01
    assert np.hypot(*left)[still].max() < 0.02
    assert left[1, 140, 60] == pytest.approx(-1.0, abs=0.05)


def test_expression_is_measured_despite_head_motion(face):
    head = np.tensordot(HEAD, motion_basis(SPEC), axes=1)
    seen = pair_flow(face, moved(face, head + bump(1.5)), spec=SPEC)
    assert (seen.shape, seen.dtype) == ((2, 128, 128), np.float32)
    assert seen[1, 104, 40] < -0.5
    assert np.median(np.hypot(*seen)) < 0.1


def test_trust_is_zero_without_texture(face):
    assert np.all(texture(np.full(SPEC.full, 128, np.uint8)) == 0)
    trust = texture(face)
    assert trust.dtype == np.float32
    assert 0 <= trust.min() < trust.max() <= 1


def test_strain_of_stretch_and_shift():
    rows, columns = np.mgrid[:20, :20].astype(np.float32)
    assert strain(np.stack([0.1 * columns, 0 * rows])) == pytest.approx(0.1)
    assert strain(np.ones((2, 20, 20), np.float32)) == pytest.approx(0.0)


def test_flow_picture_without_motion_is_white():
    assert np.all(flow_picture(np.zeros((2, 8, 8), np.float32)) == 255)
