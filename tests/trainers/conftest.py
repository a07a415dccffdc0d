"""Small sets and models that several tests train, predict and evaluate on."""

import cv2
import numpy as np
import pytest
import torch

from merau.engine.crop import CropSpec
from merau.trainers.data import flow_set
from merau.trainers.data.prepare import make_strip
from merau.trainers.data.synth.flow_fields import Flows, FlowSettings, flows
from merau.trainers.evaluate.task import make_task
from merau.trainers.learn.fusion import train
from merau.trainers.models.merau import Merau
from tests.trainers.easy import EASY, EXPRESSIONS, FEW

SAMPLES = 90
DATABASES = ("casme2", "samm")


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    """Two databases with subjects of the same names, three classes, five samples without a label."""
    drawn = flows(np.random.default_rng(5), SAMPLES, FlowSettings(no_expression=0, peak_px=(1.5, 8)))
    rows = [
        {
            "dataset": DATABASES[i % 2],
            "subject": f"s{i % 10 // 2}",
            "sample": f"c{i}",
            "label": "" if i < 5 else drawn.label[i],
            "emotion": ("Repression", "tense", "surprise")[drawn.label[i]],
            "aus": "12" if drawn.label[i] == 1 else "4+L1",
        }
        for i in range(SAMPLES)
    ]
    path = tmp_path_factory.mktemp("set") / "index.csv"
    flow_set.write(path, rows, [flow_set.encode_flow(flow) for flow in drawn.flow])
    return path


@pytest.fixture(scope="session")
def task(index):
    return make_task(flow_set.read(index))


@pytest.fixture(scope="session")
def easy_data() -> Flows:
    return flows(np.random.default_rng(0), FEW.samples, EASY)


@pytest.fixture(scope="session")
def easy_model(easy_data) -> Merau:
    return train(lambda _: easy_data, easy_data, FEW)


HEIGHT, WIDTH = CropSpec().full
WHERE = {"disgust": (0.2, 0.25), "happiness": (0.75, 0.3), "surprise": (0.12, 0.7)}  # row and column of what moves up
COUNTS = {"disgust": 12, "happiness": 6, "surprise": 6}
CODES = {"disgust": "4", "happiness": "L12+6", "surprise": "1+2"}


def clip(rng: np.random.Generator, emotion: str) -> list[np.ndarray]:
    """Eight full crops from rest to 3 px of movement at the place of `emotion`, and back by two."""
    face = cv2.GaussianBlur(rng.integers(0, 255, (HEIGHT, WIDTH)).astype(np.uint8), (7, 7), 0)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    row, column = WHERE[emotion]
    bump = np.exp(-(((y - row * HEIGHT) / 20) ** 2) - ((x - column * WIDTH) / 20) ** 2).astype(np.float32)
    levels = (*np.linspace(0, 1, 8), 0.9, 0.8)
    return [cv2.remap(face, x, y + 3 * np.float32(level) * bump, cv2.INTER_LINEAR) for level in levels]


@pytest.fixture(scope="session")
def prepared_index(tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("prepared")
    rows, pictures = [], []
    for i, emotion in enumerate(name for name, count in COUNTS.items() for _ in range(count)):
        crops = clip(rng, emotion)
        cv2.imwrite(str(folder / f"c{i}.png"), np.concatenate([crops[0], *crops[7:]]))
        cv2.imwrite(str(folder / f"f{i}.png"), make_strip(crops[:8]))
        pictures.append(np.zeros((28, 28, 3), np.uint8))
        rows.append(
            {"dataset": "made-up", "subject": i % 6, "sample": i, "label": "", "emotion": emotion,
             "aus": CODES[emotion], "frames_png": f"f{i}.png", "crops_png": f"c{i}.png"}
        )  # fmt: skip
    flow_set.write(folder / "index.csv", rows, pictures)
    return folder / "index.csv"


def frames(rng: np.random.Generator, label: int) -> np.ndarray:
    """(4, 64, 64) uint8: a texture that stays, moves aside or moves down, and a mark that tells the class."""
    texture = cv2.GaussianBlur(rng.integers(0, 255, (96, 96)).astype(np.uint8), (5, 5), 0)
    steps = [(0, 0), (0, 2), (2, 0)][label]
    strip = np.stack([texture[16 + t * steps[0] :, 16 + t * steps[1] :][:64, :64] for t in range(4)])
    strip[:, 4 + 20 * label : 20 + 20 * label, 10:54] //= 4
    return strip


@pytest.fixture(scope="session")
def frames_index(tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("set")
    rows, pictures = [], []
    y, x = np.mgrid[:28, :28] / 28
    for i in range(48):
        label = i % 3
        bump = np.exp(-(((x - 0.5) / 0.15) ** 2) - ((y - 0.2 - 0.3 * label) / 0.12) ** 2)
        flow = np.stack([bump, -bump]) + 0.1 * rng.normal(size=(2, 28, 28))
        pictures.append(flow_set.encode_flow(flow.astype(np.float32)))
        cv2.imwrite(str(folder / f"strip{i}.png"), frames(rng, label).reshape(-1, 64))
        rows.append(
            {"dataset": f"d{i % 2}", "subject": str(i % 8), "sample": str(i), "label": label,
             "frames_png": f"strip{i}.png"}
        )  # fmt: skip
    flow_set.write(folder / "index.csv", rows, pictures)
    return folder / "index.csv"


@pytest.fixture(scope="session")
def frames_task(frames_index):
    return make_task(flow_set.read(frames_index))


@pytest.fixture(scope="session")
def shot_sets(tmp_path_factory):
    """Ten samples a class of crops that lie too low and aside, and 150 more of them."""
    torch.set_num_threads(1)
    drawn = flows(np.random.default_rng(3), 180, EXPRESSIONS)
    pictures = [flow_set.encode_flow(np.roll(flow, (6, 4), (1, 2))) for flow in drawn.flow]
    rows = [{"dataset": "low", "subject": i, "sample": i, "label": int(label)} for i, label in enumerate(drawn.label)]
    shown = np.concatenate([np.flatnonzero(drawn.label == c)[:10] for c in range(3)])
    folder = tmp_path_factory.mktemp("sets")
    for name, which in (("shots", shown), ("rest", np.setdiff1d(np.arange(180), shown))):
        flow_set.write(folder / name / "index.csv", [rows[i] for i in which], [pictures[i] for i in which])
    return folder / "shots" / "index.csv", folder / "rest" / "index.csv"
