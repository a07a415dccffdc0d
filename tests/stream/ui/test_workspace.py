import asyncio
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from merau.engine.errors import Message, UserError
from merau.engine.few_shot import fit_few_shot
from merau.engine.recognizer import Recognizer
from merau.stream.demo import CLIP
from merau.stream.pipeline import PipelineSettings
from merau.stream.sources import File, SourceSettings
from merau.stream.store import read_events, read_sessions
from merau.stream.ui.outbox import ClientOutbox
from merau.stream.ui.workspace import PRIVATE, SHARED, Workspace
from tests.stream.ui.waiting import run_async, wait_for
from tests.support import clustered_samples


def open_clip():
    return File(str(CLIP), SourceSettings(paced=True))


def test_record_consent_starts_waiting_cameras(workspace):
    camera = workspace.add_camera("clip", open_clip, replay=False)
    assert camera.status()["phase"] == "waiting"
    with pytest.raises(UserError, match="state the purpose"):
        camera.start(None)
    with pytest.raises(UserError, match="state the purpose"):
        workspace.record_consent("  ")
    with pytest.raises(UserError, match="state the purpose"):
        workspace.record_consent("x" * 201)
    workspace.record_consent(" a\ntest \udcff ")
    wait_for(lambda: camera.session, "the session")
    (session,) = read_sessions(workspace.store.path)
    assert session.purpose == "a test \N{REPLACEMENT CHARACTER}"


def test_remove_camera_twice_raises(workspace):
    camera = workspace.add_camera("clip", open_clip, replay=True)
    workspace.remove_camera(camera.number)
    assert not camera.running
    with pytest.raises(UserError, match="already been removed"):
        workspace.remove_camera(camera.number)


def test_event_not_in_store_raises(workspace):
    with pytest.raises(UserError, match="has been deleted"):
        workspace.event(1, "none")


def test_join_sends_present_state(workspace):
    camera = workspace.add_camera("clip", open_clip, replay=True)
    wait_for(lambda: camera.last_frame or camera.analysed, "a frame")

    async def scene():
        viewer = ClientOutbox(asyncio.get_running_loop())
        workspace.join(viewer)
        workspace.leave(viewer)
        return await viewer.drain()

    status, *_ = run_async(scene())
    status = json.loads(status)
    assert status["workspace"] == SHARED
    assert [one["camera"] for one in status["cameras"]] == [camera.number]


def test_delete_everything_leaves_nothing(workspace, make_event):
    camera = workspace.add_camera("clip", open_clip, replay=True)
    wait_for(lambda: camera.session, "the session")
    workspace.record_consent("a test")
    workspace.delete_everything()
    assert not read_sessions(workspace.store.path)
    assert not list(read_events(workspace.store.path))
    assert camera.session is None
    assert workspace.consent is None


def test_describe_runtimes_tells_why_the_cpu_took_over(workspace):
    camera = workspace.add_camera("clip", open_clip, replay=True)
    wait_for(lambda: camera.runtime, "the camera to run")
    recognizer = camera.context.recognizer
    recognizer.runtime = replace(recognizer.runtime, reason=Message("a GPU failed at copying 'flow'"))
    assert "a GPU failed at copying 'flow'" in str(workspace.describe_runtimes()[0])
    workspace.remove_camera(camera.number)
    assert "a GPU failed" not in str(workspace.describe_runtimes()[0])


def test_upload_of_a_visitor_lasts_as_long_as_its_session(tmp_path):
    def upload(free=0):
        camera = workspace.add_camera("clip", open_clip, replay=True, is_live=False)
        wait_for(lambda: camera.session, "the session")
        workspace.remove_camera(camera.number)
        workspace.keep_upload(camera.session, Path(shutil.copy2(CLIP, tmp_path / "mine.mp4")), free)
        return camera.session

    kept = tmp_path / "recordings"
    with ThreadPoolExecutor(1) as encoder:
        settings = (PRIVATE, tmp_path / "merau.db", Recognizer.load, PipelineSettings(), encoder, 24.0, kept)
        workspace = Workspace(*settings)
        first, second = upload(), upload()
        assert workspace.recording(first) is None
        workspace.close()
        workspace = Workspace(*settings)  # the page was reloaded
        assert workspace.recording(second).frame_at(1.0).startswith(b"\xff\xd8")
        workspace.store.delete_sessions([second])
        workspace.purge()
        assert not list(kept.iterdir())
        assert workspace.recording(upload(free=2**60)) is None
        workspace.close()


def test_workspace_that_remembers_goes_on_with_consent_and_heads(tmp_path):
    def opened():
        return Workspace(SHARED, store, Recognizer.load, PipelineSettings(), clip_encoder, remembers=True)

    store, head = tmp_path / "store.db", tmp_path / "mine.head"
    recognizer = Recognizer.load()
    fit_few_shot(clustered_samples(recognizer, ("calm", "smirk"), 4), recognizer.bundle).save(head)
    with ThreadPoolExecutor(1) as clip_encoder:
        workspace = opened()
        workspace.record_consent("a test")
        taught = workspace.teaching.load_head(head)
        workspace.close()
        workspace = opened()
        assert workspace.consent
        assert workspace.consent.purpose == "a test"
        assert [kept.sha256 for kept in workspace.teaching.heads] == [taught.sha256]
        assert workspace.teaching.new_recognizer().few_shot_head
        workspace.delete_everything()
        workspace.close()
        workspace = opened()
        assert workspace.consent is None
        assert not workspace.teaching.heads
        workspace.close()
