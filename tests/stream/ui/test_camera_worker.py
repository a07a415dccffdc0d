import pytest

from merau.engine.errors import UserError
from merau.stream.demo import CLIP
from merau.stream.ui.live_page import read_source
from tests.stream.ui.waiting import wait_for


def test_status_tells_where_a_watched_file_is_decoded(workspace):
    read_source(str(CLIP), decode="cuda").add_to(workspace)
    (camera,) = workspace.cameras.values()
    wait_for(lambda: camera.status()["decoder"], "the source to open")
    assert str(camera.status()["decoder"]).startswith("decoded ")


def test_status_failed_source_gives_its_error(workspace):
    def fail():
        raise UserError("There is no file '{name}'.", name="gone.mp4")

    camera = workspace.add_camera("gone.mp4", fail, replay=True)
    wait_for(lambda: camera.error, "the error")
    status = camera.status()
    assert str(status["reason"]) == "There is no file 'gone.mp4'."
    assert status["phase"] == "ended"
    assert not camera.failed
    assert not camera.running


def test_status_internal_error_is_no_success(workspace):
    def fail():
        raise ZeroDivisionError("a fault of our own")

    camera = workspace.add_camera("a.mp4", fail, replay=True)
    wait_for(lambda: camera.error, "the error")
    assert str(camera.error) == "a.mp4: an internal error ended the analysis (ZeroDivisionError: a fault of our own)."
    assert camera.status()["phase"] == "ended"
    assert camera.failed


def test_read_source_missing_file_raises_at_once():
    with pytest.raises(UserError, match="There is no file"):
        read_source("/nowhere/clip.mp4", decode="cpu")
