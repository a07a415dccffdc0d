import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from merau.engine import bundle as bundles
from merau.engine.errors import UserError
from merau.engine.few_shot import FewShotHead
from merau.engine.few_shot_file import bundle_of_head
from merau.engine.recognizer import Recognizer
from merau.stream.cli import main
from merau.stream.commands import demo
from merau.stream.commands.adapt import read_samples
from merau.stream.store import Store

TAUGHT = {3.2: "startled", 5.4: "tense"}  # two micro-expressions of the demo clip, by their true onset


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load()


def write(path: Path, *rows: tuple[object, ...]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def demo_rows() -> list[tuple[object, ...]]:
    spans = {span["onset_s"]: span for span in demo.truth()}
    return [(label, str(demo.CLIP), onset_s, spans[onset_s]["apex_s"]) for onset_s, label in TAUGHT.items()]


def test_moments_of_a_clip_teach_a_head_that_a_recognizer_takes(recognizer, make_event, tmp_path, capsys):
    moments = write(tmp_path / "moments.csv", ("label", "file", "onset_s", "apex_s"), *demo_rows())
    assert main(["adapt", str(moments), "--out", str(tmp_path / "head"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["classes"] == ["startled", "tense"]
    assert said["samples"] == 2
    assert said["estimate"] is None
    lesson = FewShotHead.load(tmp_path / "head", recognizer.bundle)
    for sample in lesson.samples:  # what the bundle says of them shows that these moments were seen
        answer = lesson.probabilities(sample)
        assert max(answer, key=answer.__getitem__) == sample.label
        assert max(sample.probabilities, key=sample.probabilities.__getitem__) == (
            "surprise" if sample.label == "startled" else "negative"
        )

    # refined with a labelled event of a store: the samples of before stay
    seen = lesson.samples[1]
    another = np.float32(1.1) * seen.embedding
    event = make_event(aus=seen.aus, bundle_sha256=recognizer.bundle.sha256, embedding=another.tobytes())
    with Store(tmp_path / "merau.db") as store:
        session = store.start_session("clip", settings={}, bundle="", bundle_sha256="")
        store.label(session, event, "tense", seen.probabilities)
    more = ["--head", str(tmp_path / "head"), "--out", str(tmp_path / "more")]
    for again in ((), (moments, moments)):  # what is known, or was given twice, counts once
        assert main(["adapt", str(tmp_path / "merau.db"), *map(str, again), *more]) == 0
    told = capsys.readouterr()
    assert told.out.count("3 labelled samples in 2 classes (startled, tense)") == 2
    assert "4 of 7 samples were given before" in told.err
    assert len(FewShotHead.load(tmp_path / "more", recognizer.bundle).samples) == 3


def test_a_store_is_taught_from_with_the_bundle_that_judged_it(make_event, tmp_path):
    twin = Recognizer.load(bundles.SHIPPED / "farneback", device="cpu")
    seen = {"bundle_sha256": twin.bundle.sha256, "aus": dict.fromkeys(twin.bundle.card["aus"], 0.5)}
    prior = dict.fromkeys(twin.head.classes, 0.25)
    with Store(tmp_path / "merau.db") as store:
        session = store.start_session("clip", settings={}, bundle="", bundle_sha256="")
        for i, label in enumerate(("tense", "startled")):
            embedding = np.full(twin.head.dimension, i, np.float32).tobytes()
            store.label(session, make_event(1.0 + i, embedding=embedding, **seen), label, prior)
    assert main(["adapt", str(tmp_path / "merau.db"), "--out", str(tmp_path / "head")]) == 0
    assert bundle_of_head(tmp_path / "head") == twin.bundle.sha256


def test_what_cannot_be_used_is_told_with_its_place(recognizer, tmp_path):
    moments = ("label", "file", "onset_s", "apex_s")
    with pytest.raises(UserError, match="must name label,file,onset_s,apex_s or label,onset,apex"):
        read_samples(write(tmp_path / "a.csv", ("name", "file")), recognizer)
    with pytest.raises(UserError, match="line 2: onset_s and apex_s must be seconds"):
        read_samples(write(tmp_path / "b.csv", moments, ("tense", "x.mp4", 3, 2)), recognizer)
    with pytest.raises(UserError, match="line 2: .*none.png is not a picture"):
        read_samples(write(tmp_path / "c.csv", ("label", "onset", "apex"), ("tense", "none.png", "b")), recognizer)
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    with pytest.raises(UserError, match="No face can be made out .*line 2"):
        rows = ("label", "onset", "apex"), ("tense", "wall.png", "wall.png")
        read_samples(write(tmp_path / "d.csv", *rows), recognizer)
    with Store(tmp_path / "empty.db"), pytest.raises(UserError, match="nobody has labelled"):
        read_samples(tmp_path / "empty.db", recognizer)
