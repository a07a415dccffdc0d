import csv

import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.engine.few_shot import Sample
from merau.engine.recognizer import Recognizer
from merau.stream.samples import deduplicate, read_samples
from merau.stream.store import Store

CLIPS = ("label", "file", "onset_s", "apex_s")
PICTURES = ("label", "onset", "apex")


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load()


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([("name", "file")], "must name label,file,onset_s,apex_s or label,onset,apex"),
        ([CLIPS], "holds no sample"),
        ([CLIPS, ("tense", "x.mp4", 3, 2)], "line 2: onset_s and apex_s must be seconds"),
        ([CLIPS, (" ", "x.mp4", 1, 2)], "line 2: the label is empty"),
        ([PICTURES, ("tense", "none.png", "b")], "line 2: .*none.png is not a picture"),
        ([PICTURES, ("tense", "wall.png", "wall.png")], "No face is found at both onset and apex .*line 2"),
    ],
)
def test_row_that_cannot_be_used_is_named(rows, error, recognizer, tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    path = tmp_path / "samples.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(UserError, match=error):
        read_samples(path, recognizer)


def test_store_without_labels_holds_no_sample(recognizer, tmp_path):
    with Store(tmp_path / "empty.db"), pytest.raises(UserError, match="none of its events is labelled"):
        read_samples(tmp_path / "empty.db", recognizer)


def test_deduplicate_keeps_the_first_of_equal_samples():
    samples = [Sample(label, np.full(2, value, np.float32), {}, {}) for label, value in (("a", 1), ("b", 1), ("a", 1))]
    assert [sample.label for sample in deduplicate(samples)] == ["a", "b"]
