"""The frames that trunks of clips and of pairs get."""

import numpy as np
import pytest

from merau.engine.clip import STRIP_PX, ClipSpec, make_strip
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError


def crops(count: int) -> list[np.ndarray]:
    """Crops whose grey is their number."""
    return [np.full(CropSpec().full, i, np.uint8) for i in range(count)]


@pytest.mark.parametrize(("count", "chosen"), [(2, [0, 1]), (5, [0, 1, 2, 3, 4]), (15, [0, 2, 4, 6, 8, 10, 12, 14])])
def test_make_strip_chooses_evenly(count, chosen):
    strip = make_strip(crops(count), CropSpec())
    assert strip.shape == (len(chosen), STRIP_PX, STRIP_PX)
    assert strip[:, 0, 0].tolist() == chosen


def test_clip_inputs_have_the_shapes_of_the_card():
    strip = make_strip(crops(5), CropSpec())
    inputs = ClipSpec(16, 32, flow=True).inputs([strip, strip])
    assert inputs["clip"].shape == (2, 16, 32, 32)
    assert inputs["clip_flow"].shape == (2, 2, 16, 32, 32)
    assert {array.dtype.name for array in inputs.values()} == {"float32"}
    pair = ClipSpec(2, 32).inputs([strip])["clip"]
    assert (255 * pair[0, :, 0, 0]).round().tolist() == [0, 4]


@pytest.mark.parametrize("stated", [7, {"frames": 8}, {"frames": float("inf"), "size_px": 32, "flow": False}])
def test_malformed_clip_of_card_is_refused(stated):
    with pytest.raises(UserError, match="does not state frames, size_px and flow"):
        ClipSpec.of({"clip": stated})
    with pytest.raises(UserError, match="ClipSpec.frames is 1"):
        ClipSpec.of({"clip": {"frames": 1, "size_px": 32, "flow": False}})
    assert ClipSpec.of({}) is None
