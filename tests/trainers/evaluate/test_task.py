"""Tasks: the samples of a flow set that show one of their classes."""

import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.trainers.data import flow_set
from merau.trainers.evaluate.task import make_task


def test_make_task_keeps_labelled_samples_others_aside(index):
    data = flow_set.read(index)
    task = make_task(data)
    assert (len(task), len(task.other)) == (85, 5)
    assert sorted([*task.data.sample, *task.other.sample]) == sorted(data.sample)
    assert task.flow.shape == (85, 2, 32, 32)


def test_make_task_by_emotion_has_index_of_its_classes(index):
    task = make_task(flow_set.read(index), "hard")
    assert task.classes == ("repression", "tense")
    assert [task.classes[i] for i in task.label] == [name.lower() for name in task.data.emotion]
    assert set(task.other.emotion) == {"surprise"}


def test_make_task_of_one_class_is_refused(index):
    data = flow_set.read(index)
    with pytest.raises(UserError, match="the column emotion of this flow set names 1 of them"):
        make_task(data, "easy")
    with pytest.raises(UserError, match="the column label of this flow set names 1 of them"):
        make_task(data.take(data.label == 1))


def test_rows_by_database_split_the_task(task):
    rows = task.rows_by_database()
    assert list(rows) == ["casme2", "samm"]
    assert sorted(np.concatenate(list(rows.values()))) == list(range(len(task)))
    assert set(task.data.dataset[rows["samm"]]) == {"samm"}


def test_own_task_groups_emotions(index, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("classes:\n  strained: [tense, repression]\n  startled: [surprise]\n")
    own = make_task(flow_set.read(index), str(path))
    assert own.classes == ("strained", "startled")
    assert set(np.array(own.classes)[own.label[own.data.emotion == "tense"]]) == {"strained"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("classes: [a, b]", "needs `classes`"),
        ("classes: {a: [x], b: [x]}", "has x in two classes"),
        ("a: [", "cannot be read"),
    ],
)
def test_own_task_wrong_file_is_refused(index, tmp_path, text, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        make_task(flow_set.read(index), str(path))
