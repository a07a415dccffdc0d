"""Every baseline learns what it can see, and says what it cannot."""

import json

import cv2
import numpy as np
import pytest
import torch

from merau.trainers.baselines.capsule import CapsuleNet
from merau.trainers.baselines.lbp_top import INDEX, UNIFORM, lbp_top
from merau.trainers.baselines.liu import Liu
from merau.trainers.baselines.network import Network, Training
from merau.trainers.baselines.vgg import Vgg
from merau.trainers.cli import main
from merau.trainers.data import flow_set
from merau.trainers.evaluate.models import BASELINES, NETWORKS
from merau.trainers.evaluate.protocols import cross_validate, few_shot
from merau.trainers.evaluate.task import make_task


def frames(rng: np.random.Generator, label: int) -> np.ndarray:
    """(4, 64, 64) uint8: a texture that stays, moves aside or moves down, and a mark that tells the class."""
    texture = cv2.GaussianBlur(rng.integers(0, 255, (96, 96)).astype(np.uint8), (5, 5), 0)
    steps = [(0, 0), (0, 2), (2, 0)][label]
    strip = np.stack([texture[16 + t * steps[0] :, 16 + t * steps[1] :][:64, :64] for t in range(4)])
    strip[:, 4 + 20 * label : 20 + 20 * label, 10:54] //= 4
    return strip


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("set")
    rows, pictures = [], []
    y, x = np.mgrid[:28, :28] / 28
    for i in range(48):
        label = i % 3
        bump = np.exp(-(((x - 0.5) / 0.15) ** 2) - ((y - 0.2 - 0.3 * label) / 0.12) ** 2)
        flow = np.stack([bump, -bump]) + 0.1 * rng.normal(size=(2, 28, 28))
        pictures.append(flow_set.draw_picture(flow.astype(np.float32)))
        cv2.imwrite(str(folder / f"strip{i}.png"), frames(rng, label).reshape(-1, 64))
        rows.append(
            {"dataset": f"d{i % 2}", "subject": str(i % 8), "sample": str(i), "label": label,
             "frames_png": f"strip{i}.png"}
        )  # fmt: skip
    flow_set.write(folder / "index.csv", rows, pictures)
    return folder / "index.csv"


@pytest.fixture(scope="module")
def task(index):
    return make_task(flow_set.read(index))


@pytest.mark.parametrize("model", [*BASELINES, *NETWORKS])
def test_it_learns_one_database_for_the_other(model, task):
    torch.set_num_threads(1)
    learner = {**BASELINES, **NETWORKS}[model](task)
    trial = cross_validate(task, learner, "lodo", 0)
    assert np.allclose(trial.probabilities.sum(1), 1)
    assert (trial.probabilities.argmax(1) == task.label).mean() > 0.8


def test_a_network_shown_few_samples_learns_from_the_source_first(task):
    learner = Network(task, torch.from_numpy(task.flow), Liu, training=Training(epochs=10))
    after, before = few_shot(task, learner, shots=2, seed=0)
    assert not len(before.rows)
    assert len(learner.pretrained) == 2
    assert (after.probabilities.argmax(1) == task.label[after.rows]).mean() > 0.8


def test_a_source_of_a_single_class_is_not_learned_from(task):
    learner = Network(task, torch.from_numpy(task.flow), Liu, training=Training(epochs=1))
    shown, source = np.arange(6), np.flatnonzero(task.label == task.label[-1])
    learner(shown, np.arange(6, 9), seed=0, source=source)
    assert not learner.pretrained


def test_the_best_epoch_on_the_test_rows_is_never_worse_and_is_stamped(task, index, capsys):
    torch.set_num_threads(1)
    train, test = np.arange(6), np.arange(6, 48)
    right = {}
    for best in (False, True):
        learner = Network(task, torch.from_numpy(task.flow), Liu, best_epoch=best, training=Training(epochs=6))
        right[best] = (learner(train, test, seed=0).argmax(1) == task.label[test]).mean()
    assert right[True] >= right[False]
    arguments = ["evaluate", "--flows", str(index), "--protocol", "lodo", "--model", "liu", "--best-epoch"]
    assert main(arguments) == 0
    assert "TEST" in json.loads(capsys.readouterr().out)["warning"]


@pytest.mark.parametrize(
    ("net", "inputs", "features"),
    [(Vgg, (2, 1, 64, 64), 128), (CapsuleNet, (2, 1, 64, 64), 48), (Liu, (2, 2, 32, 32), 256)],
)
def test_shapes(net, inputs, features):
    embedding, logits = net(3)(torch.randn(inputs))
    assert embedding.shape == (2, features)
    assert logits.shape == (2, 3)


def test_lbp_top_of_a_flat_clip_by_hand():
    assert INDEX.max() == UNIFORM - 1
    assert len(np.unique(INDEX)) == UNIFORM
    histograms = lbp_top(np.full((3, 10, 10), 7, np.uint8), 2, INDEX)
    assert histograms.shape == (2, 2, 3, UNIFORM)
    assert histograms[..., INDEX[255]].sum() == histograms.sum() == 3 * 8 * 8  # every neighbour is as bright


def test_the_leaderboard_has_a_row_for_each_model_and_says_what_cannot_run(index, tmp_path, capsys):
    out, page = tmp_path / "board.json", tmp_path / "board.html"
    arguments = ["leaderboard", "--flows", str(index), "--json", str(out), "--report", str(page), "--draws", "2"]
    assert main([*arguments, "--models", "merau", "protonet", "logistic", "--protocols", "zero-shot", "few-shot"]) == 0
    table = capsys.readouterr().out
    assert table.startswith("| model | zero-shot | few-shot |")
    assert "| logistic regression on raw flow | - | " in table
    assert [d["model"] for d in json.loads(out.read_text())] == ["merau"] * 2 + ["protonet"] * 2 + ["logistic"] * 2
    assert "ProtoNet" in page.read_text()
    assert main(["leaderboard", "--flows", str(index), "--models", "none"]) == 1


def test_the_leaderboard_has_a_column_for_each_task(index, capsys):
    arguments = ["leaderboard", "--flows", str(index), "--models", "protonet", "--draws", "2", "--tasks", "cde", "hard"]
    assert main([*arguments, "--protocols", "few-shot"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("| model | few-shot, cde | few-shot, hard |")
    assert "few-shot, hard: Task hard needs" in told


def test_a_set_without_frames_is_refused_by_those_who_look_at_them(task, capsys):
    bare = flow_set.FlowSet(**{**vars(task.data), "frames": np.full(len(task), "")})
    with pytest.raises(Exception, match="vgg looks at frames"):
        NETWORKS["vgg"](make_task(bare))
