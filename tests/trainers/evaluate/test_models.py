"""Models as the protocols call them."""

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.evaluate.models import BASELINES, HEADS, NETWORKS, TUNED, load_own, predict_with_head
from merau.trainers.evaluate.protocols import NeedsSamples, zero_shot
from merau.trainers.evaluate.run import RunSettings


def test_models_have_names_of_their_own():
    names = [*BASELINES, *NETWORKS, *HEADS, *TUNED]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", HEADS.values())
def test_predict_with_head_classes_not_shown_get_nothing(kind, task):
    embedding = np.eye(3, 8, dtype=np.float32)[task.label]
    shown = np.concatenate([np.flatnonzero(task.label == c)[:4] for c in (0, 2)])
    asked = np.flatnonzero(task.label != 1)
    probabilities = predict_with_head(embedding, task, kind, shown, asked)
    assert (probabilities.argmax(1) == task.label[asked]).all()
    assert not probabilities[:, 1].any()
    assert predict_with_head(embedding, task, kind, shown[:4], asked[:2]).tolist() == [[1, 0, 0]] * 2


def test_predict_with_head_without_samples_is_refused(task):
    with pytest.raises(NeedsSamples):
        predict_with_head(np.zeros((len(task), 8)), task, "linear", np.arange(0), np.arange(2))


def test_own_model_takes_part(task, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "class Uniform:\n"
        "    def __init__(self, task):\n"
        "        self.size = len(task.classes)\n"
        "    def __call__(self, train, test, *, seed, source=None):\n"
        "        return np.full((len(test), self.size), 1 / self.size)\n"
    )
    monkeypatch.chdir(tmp_path)
    trial = zero_shot(task, load_own("mine:Uniform", task))
    assert np.allclose(trial.probabilities, 1 / 3)
    RunSettings(model="mine:Uniform")
    for wrong in ("mine:None_", "nowhere:Model"):
        with pytest.raises(UserError, match="cannot be loaded"):
            load_own(wrong, task)
