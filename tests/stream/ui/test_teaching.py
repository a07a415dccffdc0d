"""Stored events are reclassified by a few-shot head, and restored when it is undone."""

import numpy as np
import pytest

from merau.engine.bundle import SHIPPED
from merau.engine.errors import UserError
from merau.engine.few_shot import Sample, fit_few_shot
from merau.engine.recognizer import Recognizer
from merau.stream.demo import CLIP
from merau.stream.events import Coding, event_fields
from merau.stream.sources import File, SourceSettings
from merau.stream.store import read_events, read_original_predictions


@pytest.fixture
def teaching(workspace):
    return workspace.teaching


def start_session(workspace) -> int:
    bundle = workspace.teaching.bundle
    return workspace.store.start_session("camera", settings={}, bundle=bundle.name, bundle_sha256=bundle.sha256)


def put_events(workspace, make_event, classes) -> list[str]:
    """Store events of the workspace's bundle, with like embeddings for like classes; returns their ids."""
    random, bundle = np.random.default_rng(3), workspace.teaching.bundle
    session, dimension = start_session(workspace), workspace.teaching.recognizer.head.dimension
    for number, name in enumerate(classes):
        embedding = random.normal(sum(map(ord, name)) % 5 - 2, 0.3, dimension).astype(np.float32)
        fields = {"aus": dict.fromkeys(bundle.card["aus"], 0.5), "embedding": embedding.tobytes()}
        workspace.store.put(session, make_event(number + 1.0, bundle_sha256=bundle.sha256, **fields))
    workspace.store.flush()
    return [event.id for event in read_events(workspace.store.path, session)]


def teach(teaching):
    """Propose a head and keep it."""
    teaching.propose()
    return teaching.accept()


def label(workspace, event_id, name) -> None:
    workspace.teaching.code(Coding(1, event_id, label=name), workspace.event(1, event_id))


def head_of_other_bundle(path):
    """Save a head of the other shipped bundle; returns that bundle."""
    other = Recognizer.load(SHIPPED / "source", device="cpu")
    prior = dict.fromkeys(other.head.classes, 1 / len(other.head.classes))
    aus = dict.fromkeys(other.bundle.card["aus"], 0.5)
    embeddings = [np.full(other.head.dimension, i, np.float32) for i in range(2)]
    samples = [Sample(f"class {i}", embedding, prior, aus) for i, embedding in enumerate(embeddings)]
    fit_few_shot(samples, other.bundle).save(path)
    return other.bundle


def test_label_empty_or_long_name_raises(workspace, make_event):
    (event_id,) = put_events(workspace, make_event, ["smirk"])
    for name in (" ", "x" * 41, "half \udcff", "two\nlines", "\x1b[2J"):
        with pytest.raises(UserError, match="1 to 40 characters"):
            label(workspace, event_id, name)


def test_undo_head_without_head_raises(teaching):
    with pytest.raises(UserError, match="no teaching to undo"):
        teaching.undo_head()


def test_teach_after_load_refines_the_loaded_head(workspace, teaching, make_event, tmp_path):
    names = ("smirk", "frown") * 3
    ids = put_events(workspace, make_event, names)
    for event_id, name in zip(ids[:4], names, strict=False):
        label(workspace, event_id, name)
    teach(teaching).save(tmp_path / "head")
    loaded = teaching.load_head(tmp_path / "head")
    label(workspace, ids[4], "wink")
    label(workspace, ids[0], "grin")  # another label than when the head was saved
    taught = teach(teaching)
    assert sorted(sample.label for sample in taught.samples) == ["frown", "frown", "grin", "smirk", "wink"]
    teaching.undo_head()
    assert teaching.head is loaded
    for _ in range(4):
        teaching.undo_coding(1)
    assert len(teaching.samples()) == 4  # of the head alone
    teaching.undo_head()
    assert len(teaching.samples()) == 2


def test_samples_exclude_labels_given_under_another_bundle(workspace, teaching, make_event, tmp_path):
    (event_id,) = put_events(workspace, make_event, ["smirk"])
    head_of_other_bundle(tmp_path / "head")
    teaching.load_head(tmp_path / "head")
    label(workspace, event_id, "smirk")
    teaching.undo_head()
    assert not teaching.samples()


def test_teach_reclassifies_stored_events_and_undo_restores(workspace, teaching, make_event):
    random, recognizer = np.random.default_rng(3), Recognizer.load()
    bundle = {"bundle": teaching.bundle.name, "bundle_sha256": teaching.bundle.sha256}
    session = start_session(workspace)
    names = ("smirk", "frown", "smirk", "frown", "smirk")
    for number, name in enumerate(names):
        mean = 1 if name == "smirk" else -1
        embedding = random.normal(mean, 0.3, recognizer.head.dimension).astype(np.float32)
        aus = dict.fromkeys(teaching.bundle.card["aus"], 0.5)
        found = recognizer.classify(embedding, aus)
        prediction = {"probabilities": found.probabilities, "label": found.label, "uncertain": found.uncertain}
        event = make_event(number + 1.0, aus=aus, embedding=embedding.tobytes(), **prediction, **bundle)
        workspace.store.put(session, event)
    workspace.store.put(session, make_event(9.0, kind="blink", probabilities={}, label="", aus={}))
    workspace.store.flush()
    original = [event_fields(event) for event in read_events(workspace.store.path)]
    for fields, name in zip(original, names[:4], strict=False):
        label(workspace, fields["id"], name)

    teach(teaching)
    reclassified = list(read_events(workspace.store.path))
    assert [event.label for event in reclassified] == [*names, ""]  # the fifth was never labelled
    predictions = read_original_predictions(workspace.store.path, session)
    assert predictions[reclassified[4].id]["label"] == original[4]["label"]
    assert [label.label for label in teaching.labels()] == list(names[:4])
    assert set(teaching.samples()[0].probabilities) == set(teaching.bundle.card["classes"])
    teaching.undo_head()
    assert [event_fields(event) for event in read_events(workspace.store.path)] == original
    assert not read_original_predictions(workspace.store.path, session)


def test_load_head_of_other_bundle_swaps_running_cameras(workspace, teaching, tmp_path):
    def add_clip(name):
        return workspace.add_camera(name, lambda: File(str(CLIP), SourceSettings(paced=True)), replay=True)

    own, other = teaching.bundle, head_of_other_bundle(tmp_path / "head")
    camera = add_clip("clip")
    teaching.load_head(tmp_path / "head")
    assert teaching.bundle == camera.context.recognizer.bundle == other
    assert camera.running
    later = add_clip("other")
    assert later.context.recognizer.few_shot_head is teaching.head
    teaching.undo_head()
    assert teaching.bundle == camera.context.recognizer.bundle == later.context.recognizer.bundle == own
    assert camera.context.recognizer.few_shot_head is None
