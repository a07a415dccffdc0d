"""Teaching at a desk: what is stored is judged again, and as before after the undo."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.recognizer import Recognizer
from stream.events import event_fields, read_events, read_firsts
from stream.pipeline import PipelineSettings
from stream.ui.desk import Desk


@pytest.fixture
def desk(tmp_path):
    with ThreadPoolExecutor(1) as cutter:
        desk = Desk(tmp_path / "store.db", Recognizer.load, PipelineSettings(), cutter)
        yield desk
        desk.close()


def test_what_was_taught_judges_what_is_stored_and_undo_brings_the_first_word_back(desk, make_event):
    random = np.random.default_rng(3)
    recognizer = Recognizer.load()
    session = desk.store.begin("camera", settings={}, bundle=desk.bundle.name, bundle_sha256=desk.bundle.sha256)
    names = ("smirk", "frown", "smirk", "frown", "smirk")
    for number, name in enumerate(names):
        seen = random.normal(1 if name == "smirk" else -1, 0.3, recognizer.head.dimension).astype(np.float32)
        said = recognizer.judge(seen, {})
        word = {"probabilities": said.probabilities, "label": said.label, "uncertain": said.uncertain}
        of_bundle = {"bundle": desk.bundle.name, "bundle_sha256": desk.bundle.sha256, "embedding": seen.tobytes()}
        desk.store.put(session, make_event(number + 1.0, aus={}, **word, **of_bundle))
    desk.store.put(session, make_event(9.0, kind="blink", probabilities={}, label="", aus={}))
    desk.store.flush()
    first = [event_fields(event) for event in read_events(desk.store.path)]
    for fields, name in zip(first, names[:4], strict=False):
        desk.label(session, fields["id"], name)

    desk.teach()
    anew = list(read_events(desk.store.path))
    assert [event.label for event in anew] == [*names, ""]  # the fifth was never labelled
    assert read_firsts(desk.store.path, session)[anew[4].id]["label"] == first[4]["label"]
    assert [label.label for label in desk.labels()] == list(names[:4])
    assert set(desk.samples()[0].probabilities) == set(desk.bundle.card["classes"])
    desk.unteach()
    assert [event_fields(event) for event in read_events(desk.store.path)] == first
    assert not read_firsts(desk.store.path, session)
