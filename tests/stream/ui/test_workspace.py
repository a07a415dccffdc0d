"""Teaching at a workspace: what is stored is judged again, and as before after the undo."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from merau.engine.bundle import SHIPPED
from merau.engine.errors import Message
from merau.engine.few_shot import Sample, fit_few_shot
from merau.engine.recognizer import Recognizer
from merau.stream.demo import CLIP
from merau.stream.events import event_fields
from merau.stream.pipeline import PipelineSettings
from merau.stream.sources import File, SourceSettings
from merau.stream.store import read_events, read_original_predictions
from merau.stream.ui.live_page import add_source
from merau.stream.ui.workspace import Workspace
from tests.stream.ui.waiting import wait_for


@pytest.fixture
def workspace(tmp_path):
    with ThreadPoolExecutor(1) as cutter:
        workspace = Workspace(tmp_path / "store.db", Recognizer.load, PipelineSettings(), cutter)
        yield workspace
        workspace.close()


def put_events(workspace, make_event, names) -> list[str]:
    """Events of the workspace's bundle that look alike where their names are; returns their ids."""
    random, recognizer = np.random.default_rng(3), Recognizer.load()
    bundle = {"bundle": workspace.bundle.name, "bundle_sha256": workspace.bundle.sha256}
    session = workspace.store.start_session("camera", settings={}, **bundle)
    for number, name in enumerate(names):
        seen = random.normal(sum(map(ord, name)) % 5 - 2, 0.3, recognizer.head.dimension).astype(np.float32)
        word = {"aus": dict.fromkeys(workspace.bundle.card["aus"], 0.5), "embedding": seen.tobytes()}
        workspace.store.put(session, make_event(number + 1.0, bundle_sha256=workspace.bundle.sha256, **word))
    workspace.store.flush()
    return [event.id for event in read_events(workspace.store.path, session)]


def test_a_head_that_was_loaded_is_refined_by_what_is_taught_then(workspace, make_event, tmp_path):
    names = ("smirk", "frown") * 3
    ids = put_events(workspace, make_event, names)
    for id, name in zip(ids[:4], names, strict=False):
        workspace.label(1, id, name)
    workspace.teach().save(tmp_path / "head")
    loaded = workspace.load_head(tmp_path / "head")
    workspace.label(1, ids[4], "wink")
    workspace.label(1, ids[0], "grin")  # said otherwise than when the head was saved
    taught = workspace.teach()
    assert sorted(sample.label for sample in taught.samples) == ["frown", "frown", "grin", "smirk", "wink"]
    workspace.undo_head()
    assert workspace.heads[-1] is loaded
    for _ in range(4):
        workspace.unlabel()
    assert len(workspace.samples()) == 4  # of the head alone
    workspace.undo_head()
    assert len(workspace.samples()) == 2


def test_what_was_named_while_another_bundle_judged_is_not_taught_from(workspace, make_event, tmp_path):
    (id,) = put_events(workspace, make_event, ["smirk"])
    twin = Recognizer.load(SHIPPED / "farneback", device="cpu")
    prior, seen = dict.fromkeys(twin.head.classes, 0.25), np.zeros(twin.head.dimension, np.float32)
    fit_few_shot([Sample(name, seen, prior, {}) for name in ("tense", "startled")], twin.bundle).save(tmp_path / "head")
    workspace.load_head(tmp_path / "head")
    workspace.label(1, id, "smirk")
    workspace.undo_head()
    assert not workspace.samples()


def test_what_was_taught_judges_what_is_stored_and_undo_brings_the_first_word_back(workspace, make_event):
    random = np.random.default_rng(3)
    recognizer = Recognizer.load()
    bundle = {"bundle": workspace.bundle.name, "bundle_sha256": workspace.bundle.sha256}
    session = workspace.store.start_session("camera", settings={}, **bundle)
    names = ("smirk", "frown", "smirk", "frown", "smirk")
    for number, name in enumerate(names):
        seen = random.normal(1 if name == "smirk" else -1, 0.3, recognizer.head.dimension).astype(np.float32)
        said = recognizer.classify(seen, {})
        word = {"probabilities": said.probabilities, "label": said.label, "uncertain": said.uncertain}
        of_bundle = bundle | {"embedding": seen.tobytes()}
        workspace.store.put(session, make_event(number + 1.0, aus={}, **word, **of_bundle))
    workspace.store.put(session, make_event(9.0, kind="blink", probabilities={}, label="", aus={}))
    workspace.store.flush()
    first = [event_fields(event) for event in read_events(workspace.store.path)]
    for fields, name in zip(first, names[:4], strict=False):
        workspace.label(session, fields["id"], name)

    workspace.teach()
    anew = list(read_events(workspace.store.path))
    assert [event.label for event in anew] == [*names, ""]  # the fifth was never labelled
    assert read_original_predictions(workspace.store.path, session)[anew[4].id]["label"] == first[4]["label"]
    assert [label.label for label in workspace.labels()] == list(names[:4])
    assert set(workspace.samples()[0].probabilities) == set(workspace.bundle.card["classes"])
    workspace.undo_head()
    assert [event_fields(event) for event in read_events(workspace.store.path)] == first
    assert not read_original_predictions(workspace.store.path, session)


def test_a_watched_file_says_where_it_is_decoded(workspace):
    add_source(workspace, str(CLIP), decode="cuda")
    (camera,) = workspace.cameras.values()
    wait_for(lambda: camera.status()["decoder"], "the source to open")
    assert camera.status()["decoder"].startswith("decoded ")


def test_the_settings_say_what_a_running_camera_fell_back_to(workspace):
    add_source(workspace, str(CLIP), decode="cpu")
    (camera,) = workspace.cameras.values()
    wait_for(lambda: camera.runs_on, "the camera to run")
    recognizer = camera.context.recognizer
    recognizer.runtime = replace(recognizer.runtime, reason=Message("a GPU failed at copying 'flow'"))
    assert "a GPU failed at copying 'flow'" in str(workspace.runs_on[0])
    workspace.remove(camera.number)
    assert "a GPU failed" not in str(workspace.runs_on[0])


def test_a_saved_head_brings_its_bundle_to_the_cameras_and_undo_takes_it_away(workspace, tmp_path):
    own, twin = workspace.bundle, Recognizer.load(SHIPPED / "farneback", device="cpu")
    prior, aus = dict.fromkeys(twin.head.classes, 0.25), dict.fromkeys(twin.bundle.card["aus"], 0.5)
    seen = [np.full(twin.head.dimension, i, np.float32) for i in range(2)]
    fit_few_shot([Sample(f"class {i}", seen[i], prior, aus) for i in range(2)], twin.bundle).save(tmp_path / "head")
    camera = workspace.add("clip", lambda: File(str(CLIP), SourceSettings(paced=True)), replay=True)
    workspace.load_head(tmp_path / "head")
    assert workspace.bundle == camera.context.recognizer.bundle == twin.bundle
    assert camera.running
    later = workspace.add("other", lambda: File(str(CLIP), SourceSettings(paced=True)), replay=True)
    assert later.context.recognizer.few_shot_head is workspace.heads[-1]
    workspace.undo_head()
    assert workspace.bundle == camera.context.recognizer.bundle == later.context.recognizer.bundle == own
    assert camera.context.recognizer.few_shot_head is None
