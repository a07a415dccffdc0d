"""A face clip of a portrait without a video in between, as small as the spotter can use."""

import cv2
import numpy as np
import pytest

from merau.engine.crop import CropSpec, apply, crop_face, layout_transform
from merau.engine.face_mesh import FaceNets
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.portrait import Portrait, find_face
from merau.trainers.data.synth.timelines import channels_at, expression, micro
from merau.trainers.spotting.dataset import FaceClip
from merau.trainers.spotting.record import span_of


@pytest.fixture(scope="session")
def face_clip() -> FaceClip:
    """Three seconds with a micro-expression of 2 px at 1.2 s."""
    picture, spec = cv2.imread(str(ASTRONAUT)), CropSpec()
    portrait = Portrait(picture, find_face(picture, FaceNets()), size=(320, 240), face_px=140.0)
    matrix, rng = layout_transform(portrait.landmarks, spec), np.random.default_rng(5)
    action = micro(rng, 1.2, expression(rng, (12,), 2.0), "positive", 2.0)
    t_s = np.arange(0, 3, 1 / 30)
    rest = crop_face(portrait.frame({}), matrix, spec)
    grey = []
    for at_s in t_s:
        channels = channels_at([action], at_s)
        image = crop_face(portrait.frame(channels), matrix, spec) if channels else rest
        noisy = np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)
        grey.append(cv2.cvtColor(noisy, cv2.COLOR_BGR2GRAY))
    landmarks = apply(matrix, portrait.landmarks).astype(np.float32)
    count = len(t_s)
    arrays = (t_s, np.stack(grey), np.stack([matrix] * count), np.stack([landmarks] * count))
    return FaceClip("clip", *arrays, "astronaut#0", "table", (span_of(action),), complete=True)
