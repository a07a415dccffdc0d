"""Teaching at a desk: what is stored is judged again, and as before after the undo."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from merau.engine.bundle import SHIPPED
from merau.engine.few_shot import Sample, teach
from merau.engine.recognizer import Recognizer
from merau.stream.commands.demo import CLIP
from merau.stream.events import event_fields
from merau.stream.pipeline import PipelineSettings
from merau.stream.sources import File, SourceSettings
from merau.stream.store import read_events, read_original_predictions
from merau.stream.ui.live_page import add_source
from merau.stream.ui.workspace import Desk
from tests.stream.ui.waiting import wait_for


@pytest.fixture
def desk(tmp_path):
    with ThreadPoolExecutor(1) as cutter:
        desk = Desk(tmp_path / "store.db", Recognizer.load, PipelineSettings(), cutter)
        yield desk
        desk.close()


def put_events(desk, make_event, names) -> list[str]:
    """Events of the desk's bundle that look alike where their names are; returns their ids."""
    random, recognizer = np.random.default_rng(3), Recognizer.load()
    session = desk.store.start_session("camera", settings={}, bundle=desk.bundle.name, bundle_sha256=desk.bundle.sha256)
    for number, name in enumerate(names):
        seen = random.normal(sum(map(ord, name)) % 5 - 2, 0.3, recognizer.head.dimension).astype(np.float32)
        word = {"aus": dict.fromkeys(desk.bundle.card["aus"], 0.5), "embedding": seen.tobytes()}
        desk.store.put(session, make_event(number + 1.0, bundle_sha256=desk.bundle.sha256, **word))
    desk.store.flush()
    return [event.id for event in read_events(desk.store.path, session)]


def test_a_head_that_was_loaded_is_refined_by_what_is_taught_then(desk, make_event, tmp_path):
    names = ("smirk", "frown") * 3
    ids = put_events(desk, make_event, names)
    for id, name in zip(ids[:4], names, strict=False):
        desk.label(1, id, name)
    desk.teach().save(tmp_path / "head")
    loaded = desk.use_saved(tmp_path / "head")
    desk.label(1, ids[4], "wink")
    desk.label(1, ids[0], "grin")  # said otherwise than when the head was saved
    taught = desk.teach()
    assert sorted(sample.label for sample in taught.samples) == ["frown", "frown", "grin", "smirk", "wink"]
    desk.unteach()
    assert desk.lessons[-1] is loaded
    for _ in range(4):
        desk.unlabel()
    assert len(desk.samples()) == 4  # of the head alone
    desk.unteach()
    assert len(desk.samples()) == 2


def test_what_was_named_while_another_bundle_judged_is_not_taught_from(desk, make_event, tmp_path):
    (id,) = put_events(desk, make_event, ["smirk"])
    twin = Recognizer.load(SHIPPED / "farneback", device="cpu")
    prior, seen = dict.fromkeys(twin.head.classes, 0.25), np.zeros(twin.head.dimension, np.float32)
    teach([Sample(name, seen, prior, {}) for name in ("tense", "startled")], twin).save(tmp_path / "head")
    desk.use_saved(tmp_path / "head")
    desk.label(1, id, "smirk")
    desk.unteach()
    assert not desk.samples()


def test_what_was_taught_judges_what_is_stored_and_undo_brings_the_first_word_back(desk, make_event):
    random = np.random.default_rng(3)
    recognizer = Recognizer.load()
    session = desk.store.start_session("camera", settings={}, bundle=desk.bundle.name, bundle_sha256=desk.bundle.sha256)
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
    assert read_original_predictions(desk.store.path, session)[anew[4].id]["label"] == first[4]["label"]
    assert [label.label for label in desk.labels()] == list(names[:4])
    assert set(desk.samples()[0].probabilities) == set(desk.bundle.card["classes"])
    desk.unteach()
    assert [event_fields(event) for event in read_events(desk.store.path)] == first
    assert not read_original_predictions(desk.store.path, session)


def test_a_watched_file_says_where_it_is_decoded(desk):
    add_source(desk, str(CLIP), decode="cuda")
    (camera,) = desk.cameras.values()
    wait_for(lambda: camera.status()["decoder"], "the source to open")
    assert camera.status()["decoder"].startswith("decoded ")


def test_the_settings_say_what_a_running_camera_fell_back_to(desk):
    add_source(desk, str(CLIP), decode="cpu")
    (camera,) = desk.cameras.values()
    wait_for(lambda: camera.runs_on, "the camera to run")
    recognizer = camera.wiring.recognizer
    recognizer.choice = replace(recognizer.choice, why="a GPU failed at copying 'flow'")
    assert "a GPU failed at copying 'flow'" in desk.runs_on[0]
    desk.remove(camera.number)
    assert "a GPU failed" not in desk.runs_on[0]


def test_a_saved_head_brings_its_bundle_to_the_cameras_and_undo_takes_it_away(desk, tmp_path):
    own, twin = desk.bundle, Recognizer.load(SHIPPED / "farneback", device="cpu")
    prior, aus = dict.fromkeys(twin.head.classes, 0.25), dict.fromkeys(twin.bundle.card["aus"], 0.5)
    seen = [np.full(twin.head.dimension, i, np.float32) for i in range(2)]
    teach([Sample(f"class {i}", seen[i], prior, aus) for i in range(2)], twin).save(tmp_path / "head")
    camera = desk.add("clip", lambda: File(str(CLIP), SourceSettings(paced=True)), replay=True)
    desk.use_saved(tmp_path / "head")
    assert desk.bundle == camera.wiring.recognizer.bundle == twin.bundle
    assert camera.running
    later = desk.add("other", lambda: File(str(CLIP), SourceSettings(paced=True)), replay=True)
    assert later.wiring.recognizer.lesson is desk.lessons[-1]
    desk.unteach()
    assert desk.bundle == camera.wiring.recognizer.bundle == later.wiring.recognizer.bundle == own
    assert camera.wiring.recognizer.lesson is None
