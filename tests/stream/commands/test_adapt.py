import csv
import json
from pathlib import Path

import numpy as np
import pytest

from merau.engine.bundle import resolve
from merau.engine.few_shot import FewShotHead
from merau.engine.few_shot_file import bundle_of_head
from merau.engine.recognizer import Recognizer
from merau.stream import demo
from merau.stream.cli import main
from merau.stream.store import Store

LABELS = {3.2: "startled", 5.4: "tense"}  # for two micro-expressions of the demo clip, by their true onset


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load()


@pytest.fixture(scope="module")
def clip_rows(tmp_path_factory) -> Path:
    """A CSV of two expressions in the demo clip."""
    apexes_s = {span["onset_s"]: span["apex_s"] for span in demo.read_ground_truth()}
    path = tmp_path_factory.mktemp("adapt") / "clips.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("label", "file", "onset_s", "apex_s"))
        rows.writerows((label, demo.CLIP, onset_s, apexes_s[onset_s]) for onset_s, label in LABELS.items())
    return path


@pytest.fixture(scope="module")
def head_file(clip_rows) -> Path:
    """A few-shot head fitted to these rows."""
    path = clip_rows.with_name("head")
    assert main(["adapt", str(clip_rows), "--out", str(path)]) == 0
    return path


def likeliest(probabilities: dict[str, float]) -> str:
    return max(probabilities, key=probabilities.__getitem__)


def test_adapt_json_reports_the_head(clip_rows, tmp_path, capsys):
    assert main(["adapt", str(clip_rows), "--out", str(tmp_path / "head"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["written", "kind", "classes", "samples", "estimate", "explanation", "notes", "preview"]
    assert report["classes"] == ["startled", "tense"]
    assert report["samples"] == 2
    assert report["estimate"] is None
    assert report["notes"] == []


def test_adapt_reads_what_a_german_spreadsheet_saves(clip_rows, tmp_path, capsys):
    rows = [line.split(",") for line in clip_rows.read_text().splitlines()]
    rows += [["Gespannt ", *rows[2][1:]], ["überrascht", *rows[1][1:]], ["gespannt", *rows[2][1:]], ["", "", "", ""]]
    rows[3][3] = str(float(rows[3][3]) + 0.1)
    text = "\r\n".join(";".join([label, clip, *(t.replace(".", ",") for t in times)]) for label, clip, *times in rows)
    path = tmp_path / "german.csv"
    path.write_bytes(text.encode("cp1252"))
    assert main(["adapt", str(path), "--out", str(tmp_path / "head"), "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["classes"] == ["Gespannt", "startled", "tense", "überrascht"]
    merged = "Labels that differ only in case or blanks are one class: 'Gespannt ' = 'gespannt'."
    assert report["notes"] == [f"{path} is not in UTF-8: it is read as Windows-1252, the usual encoding of Western "
                               "spreadsheets.", merged]  # fmt: skip
    assert report["explanation"].endswith(merged)
    assert "Windows-1252" in printed.err


def test_adapt_to_clips_names_the_taught_classes(head_file, recognizer):
    head = FewShotHead.load(head_file, recognizer.bundle)
    for sample in head.samples:
        assert likeliest(head.probabilities(sample)) == sample.label
        known_class = "surprise" if sample.label == "startled" else "negative"
        assert likeliest(sample.probabilities) == known_class  # the crops show the expressions of these rows


def test_adapt_adds_labelled_events_to_a_head(head_file, clip_rows, recognizer, make_event, tmp_path, capsys):
    sample = FewShotHead.load(head_file, recognizer.bundle).samples[1]
    embedding = (np.float32(1.1) * sample.embedding).tobytes()
    event = make_event(aus=sample.aus, bundle_sha256=recognizer.bundle.sha256, embedding=embedding)
    with Store(tmp_path / "merau.db") as store:
        session = store.start_session("clip", settings={}, bundle="", bundle_sha256="")
        store.label(session, event, "tense", sample.probabilities)
    options = ["--head", str(head_file), "--out", str(tmp_path / "more")]
    for repeated in ((), (clip_rows, clip_rows)):  # samples that repeat count once
        assert main(["adapt", str(tmp_path / "merau.db"), *map(str, repeated), *options]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("3 labelled samples in 2 classes (startled, tense)") == 2
    assert "4 of 7 samples are repetitions" in printed.err
    assert len(FewShotHead.load(tmp_path / "more", recognizer.bundle).samples) == 3


def test_adapt_uses_the_bundle_that_classified_the_events(make_event, tmp_path):
    other = Recognizer.load(resolve("source"), device="cpu")
    fields = {"bundle_sha256": other.bundle.sha256, "aus": dict.fromkeys(other.bundle.card["aus"], 0.5)}
    prior = dict.fromkeys(other.head.classes, 1 / len(other.head.classes))
    with Store(tmp_path / "merau.db") as store:
        session = store.start_session("clip", settings={}, bundle="", bundle_sha256="")
        for i, label in enumerate(("tense", "startled")):
            embedding = np.full(other.head.dimension, i, np.float32).tobytes()
            store.label(session, make_event(1.0 + i, embedding=embedding, **fields), label, prior)
    assert main(["adapt", str(tmp_path / "merau.db"), "--out", str(tmp_path / "head")]) == 0
    assert bundle_of_head(tmp_path / "head") == other.bundle.sha256
