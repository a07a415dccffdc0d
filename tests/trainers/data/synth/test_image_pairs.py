from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.trainers.data.synth.action_units import SIDES
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.flow_fields import CLASSES
from merau.trainers.data.synth.image_pairs import align, apex_images, draw_pairs, measure, read_faces
from merau.trainers.data.synth.portrait import Portrait


def test_measure_raised_brows_move_up():
    nets = FaceNets()
    face = read_faces([ASTRONAUT], nets)[0]
    portrait = Portrait(face.picture, face.landmarks, size=(360, 320), face_px=200)
    raised = {f"{au} {side}": 2.0 for au in (1, 2) for side in SIDES}
    onset, apex = align([portrait.frame({}), portrait.frame(raised)], nets)
    assert onset.shape == apex.shape == CropSpec().full
    drawn = draw_pairs([ASTRONAUT], 1, seed=0)
    flow = measure(replace(drawn, onset=onset[None], apex=apex[None])).flow
    assert np.median(flow[0, 1, 1:5, 4:28]) < -0.5  # brows up
    assert np.abs(flow[0, :, 22:28]).max() < 0.5  # mouth at rest


def test_draw_pairs_is_reproducible():
    first, second = (draw_pairs([ASTRONAUT], 3, seed=4) for _ in range(2))
    assert np.array_equal(first.onset, second.onset)
    assert np.array_equal(first.aus, second.aus)
    assert set(first.label) <= set(range(len(CLASSES)))
    seen = apex_images(first.apex)
    assert seen.shape == (3, 1, 64, 64)
    assert 0 <= seen.min() < seen.max() <= 1


def test_draw_pairs_without_face_is_refused(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "sky.png"), np.full((200, 200, 3), 200, np.uint8))
    with pytest.raises(UserError, match="sky.png: .*face"):
        draw_pairs([tmp_path / "sky.png"], 1, seed=0)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UserError, match="notes.txt is not an image"):
        draw_pairs([tmp_path / "notes.txt"], 1, seed=0)
