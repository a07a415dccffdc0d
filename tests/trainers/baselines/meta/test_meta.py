"""Meta-learners: each learns to be taught, and to be taught this."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from merau.engine.errors import UserError
from merau.trainers.baselines.meta.episodes import EpisodicModel, MetaSettings, moving_clips
from merau.trainers.baselines.meta.lightmannet import mmd2
from merau.trainers.evaluate.models import META, make_learner
from merau.trainers.evaluate.protocols import few_shot

QUICK = MetaSettings(episodes=15, shots=2, queries=3, inner_rate=0.2, outer_rate=5e-3)

LEARNED = {"anil": 0.6}  # its steps change the head alone, so that it needs more episodes


def learner(name, task) -> EpisodicModel:
    return replace(make_learner(name, task, task.data), settings=QUICK, trained={})


@pytest.mark.parametrize("name", sorted(name for name in META if "lightmannet-" not in name))
def test_learner_learns_what_it_is_shown(frames_task, name):
    torch.set_num_threads(1)
    model, shown = learner(name, frames_task), np.arange(40)
    assert (model(shown, shown, seed=0).argmax(1) == frames_task.label[shown]).mean() >= LEARNED.get(name, 0.8)


@pytest.mark.parametrize("name", sorted(name for name in META if "lightmannet-" in name))
def test_ablation_runs(frames_task, name):
    torch.set_num_threads(1)
    model = replace(learner(name, frames_task), settings=replace(QUICK, episodes=1))
    assert np.allclose(model(np.arange(12), np.arange(12, 20), seed=0).sum(1), 1)


def test_learner_is_trained_on_the_source_once_and_then_taught(frames_task):
    torch.set_num_threads(1)
    model = learner("clip-protonet", frames_task)
    after, before = few_shot(frames_task, model, shots=3, seed=0)
    few_shot(frames_task, model, shots=3, seed=1)
    assert len(model.trained) == 2
    assert not len(before.rows)
    assert (after.probabilities.argmax(1) == frames_task.label[after.rows]).mean() > 0.8


def test_meta_training_with_one_seed_is_repeated(frames_task):
    torch.set_num_threads(1)
    settings = replace(QUICK, episodes=2)
    models = [replace(learner("maml", frames_task), settings=settings) for _ in range(2)]
    one, other = (model(np.arange(12), np.arange(12, 20), seed=3) for model in models)
    assert np.array_equal(one, other)


def test_lightmannet_without_macro_expressions_is_refused(frames_task):
    with pytest.raises(UserError, match="give a flow set of them with --macro"):
        make_learner("lightmannet", frames_task, None)
    make_learner("lightmannet-without-auxiliary", frames_task, None)


def test_mmd2_is_zero_for_equal_and_grows_for_moved_features():
    torch.manual_seed(0)
    features = torch.randn(40, 5)
    assert mmd2(features, features).abs() < 1e-6
    assert 0.05 < mmd2(features, features + 1) < mmd2(features, features + 3)


def test_moving_clips_have_unit_spread_and_begin_at_zero(frames_task):
    clips = moving_clips(frames_task.data, "maml")
    assert not clips[:, 0].any()
    moves = torch.from_numpy(frames_task.label > 0)
    assert torch.allclose(clips.std((1, 2, 3), correction=0), moves.float(), atol=1e-3)
