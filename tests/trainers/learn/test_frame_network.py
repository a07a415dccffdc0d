"""Networks that see frames, as trunks and as bundles that run live."""

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
import torch

from merau.engine.clip import make_strip
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.trainers.baselines import apex_resnet, attribute, cnn3d
from merau.trainers.baselines.meta.episodes import MetaSettings
from merau.trainers.baselines.network import Training
from merau.trainers.evaluate.predict import predict
from merau.trainers.learn.frame_network import (
    FRAME_NETWORKS,
    MA2MI,
    Material,
    fit_learner,
    fit_ma2mi,
    fit_network,
    frame_inputs,
    train_on_frames,
)
from merau.trainers.learn.network import train_bundle


def once(make, **settings):
    """Train for one epoch."""
    return partial(fit_network, lambda task: replace(make(task, **settings), training=Training(epochs=1)))


EPISODE = MetaSettings(episodes=1, shots=2, queries=2)
QUICK = {
    "cnn3d": once(cnn3d.make_model),
    "attribute": once(attribute.make_model, settings=attribute.AttributeSettings(text=False)),
    "apex-resnet": once(apex_resnet.make_model),
    "ma2mi": partial(fit_ma2mi, settings=replace(MA2MI, steps=1, epochs=1)),
    "lightmannet": partial(fit_learner, "lightmannet", settings=EPISODE),
    "reptile": partial(fit_learner, "reptile", settings=EPISODE),
}


@pytest.fixture
def quick(monkeypatch):
    """Networks learn for a moment."""
    torch.set_num_threads(1)
    for name, fit in QUICK.items():
        monkeypatch.setitem(FRAME_NETWORKS, name, replace(FRAME_NETWORKS[name], fit=fit))


@pytest.mark.parametrize("name", QUICK)
def test_trunk_sees_each_clip_alone(frames_task, quick, name):
    trunk, layer = train_on_frames(
        name, Material(frames_task, np.arange(12), np.arange(12, 18), frames_task.data.take(np.arange(6)))
    )
    inputs = [torch.from_numpy(part) for part in frame_inputs(name, frames_task.data.take(np.arange(3))).values()]
    with torch.no_grad():
        together, units = trunk.eval()(*inputs)
        alone, _ = trunk(*(part[1:2] for part in inputs))
    assert units.shape == (3, 0)
    assert layer(together).shape == (3, 3)
    assert torch.allclose(together[1], alone[0], atol=1e-4)


def test_attribute_becomes_a_bundle_that_sees_the_clip(frames_index, frames_task, quick, tmp_path):
    train_bundle("attribute", tmp_path / "attribute", indices=(frames_index,))
    recognizer = Recognizer.load(tmp_path / "attribute")
    assert recognizer.clip == FRAME_NETWORKS["attribute"].clip
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (190, 168)).astype(np.uint8), (5, 5), 0)
    onset, *between, apex = (texture[i : i + 180] for i in range(6))
    found = recognizer.predict(onset, apex, between=between)
    kept = frames_task.data.person % 5 == 0
    trunk, _ = train_on_frames("attribute", Material(frames_task, np.flatnonzero(~kept), np.flatnonzero(kept)))
    strip = make_strip([onset, *between, apex], CropSpec())
    with torch.no_grad():
        expected = trunk.eval()(*map(torch.from_numpy, recognizer.clip.inputs([strip]).values()))[0][0].numpy()
    assert np.allclose(found.embedding, expected, atol=1e-3)
    seen = predict(recognizer, frames_task.data.take(np.arange(3)), frames_task.flow[:3])
    with torch.no_grad():
        shown = frame_inputs("attribute", frames_task.data.take(np.arange(3)))
        assert np.allclose(seen.embedding, trunk(*map(torch.from_numpy, shown.values()))[0], atol=1e-3)
    assert not np.allclose(recognizer.predict(onset, apex).embedding, expected, atol=1e-3)


def test_network_of_frames_needs_a_set(index, tmp_path):
    with pytest.raises(UserError, match="cnn3d learns from frames: give --data"):
        train_bundle("cnn3d", tmp_path / "b")
    with pytest.raises(UserError, match="cnn3d needs frames, and this flow set has no column frames_png"):
        train_bundle("cnn3d", tmp_path / "b", indices=(index,))
