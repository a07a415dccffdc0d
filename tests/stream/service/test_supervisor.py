from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from merau.engine.recognizer import Recognizer
from merau.stream.commands.serve import save_cameras
from merau.stream.demo import CLIP
from merau.stream.pipeline import PipelineSettings
from merau.stream.service.config import ServiceConfig
from merau.stream.service.reading import read_config
from merau.stream.service.supervisor import Supervisor
from merau.stream.store import read_sessions
from merau.stream.ui.live_page import read_source
from merau.stream.ui.workspace import SHARED, Workspace
from scripts.support.rtsp_server import RtspServer
from tests.stream.ui.waiting import wait_for


@pytest.fixture
def workspace(tmp_path) -> Iterator[Workspace]:
    with ThreadPoolExecutor(1) as clip_encoder:
        workspace = Workspace(SHARED, tmp_path / "store.db", Recognizer.load, PipelineSettings(), clip_encoder)
        yield workspace
        workspace.close()


def test_supervisor_follows_schedule_and_consent(workspace):
    clock = [datetime(2026, 3, 2, 9, 0, tzinfo=UTC)]  # a Monday
    with RtspServer() as server:
        camera = {"name": "Door", "source": server.url, "schedule": [{"days": ["mon"], "from": "08:00", "to": "18:00"}]}
        config = ServiceConfig.model_validate({"page": {}, "cameras": [camera]})
        supervisor = Supervisor(workspace, config.defaults, clock=lambda: clock[0])
        supervisor.start(config)

        def state():
            (status,) = supervisor.status()
            return status.state

        assert state() == "waiting"
        workspace.record_consent("a test")
        wait_for(lambda: state() == "live", "the camera")
        clock[0] = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
        wait_for(lambda: state() == "off", "the end of the schedule")
        wait_for(lambda: read_sessions(workspace.store.path)[0].ended, "the end of the session")
        assert workspace.statuses()[0]["phase"] == "off"
        clock[0] = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
        wait_for(lambda: state() == "live", "the camera again")
        supervisor.close()
    first, second = read_sessions(workspace.store.path)
    assert (first.name, first.purpose, second.name) == ("Door", "a test", "Door")


def test_cameras_of_the_page_are_saved_into_the_file(workspace, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("page: {}\n")
    read_source(str(CLIP), decode="cpu").add_to(workspace)
    save_cameras(file, workspace)
    assert not workspace.cameras
    (camera,) = read_config(file).cameras
    assert camera.source == str(CLIP)
    assert camera.is_recording
