"""Crops of a portrait that moves by a plan, without a video in between: fast, and at any frame times."""

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
import pytest

from merau.engine.crop import CropSpec, apply, crop_face, layout_transform
from merau.engine.face_mesh import FaceNets
from merau.stream.align import Crop
from merau.stream.faces import Quality
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.portrait import Portrait, find_face
from merau.trainers.data.synth.timelines import Action, channels_at

GOOD_QUALITY = Quality(100.0, 0.8, 0.0, 0.0, 0.0, 1.0, 0.5, None, 1.0)
MakeCrops = Callable[[Sequence[Action], Iterable[float]], list[Crop]]


@pytest.fixture(scope="session")
def portrait() -> Portrait:
    picture = cv2.imread(str(ASTRONAUT))
    return Portrait(picture, find_face(picture, FaceNets()), size=(320, 240), face_px=140.0)


@pytest.fixture(scope="session")
def make_crops(portrait: Portrait) -> MakeCrops:
    """Make the crops of a still head that performs the actions, at these times and with a sensor's noise."""
    spec = CropSpec()
    matrix = layout_transform(portrait.landmarks, spec)
    landmarks = apply(matrix, portrait.landmarks).astype(np.float32)
    at_rest = crop_face(portrait.frame({}), matrix, spec)

    def make(actions: Sequence[Action], times_s: Iterable[float]) -> list[Crop]:
        rng = np.random.default_rng(0)
        crops = []
        for index, t_s in enumerate(times_s):
            channels = channels_at(actions, t_s)
            face = crop_face(portrait.frame(channels), matrix, spec) if channels else at_rest
            image = np.clip(face + rng.normal(0, 1.5, face.shape), 0, 255).astype(np.uint8)
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            crops.append(Crop(1, float(t_s), index, image, grey, matrix, landmarks, GOOD_QUALITY))
        return crops

    return make
