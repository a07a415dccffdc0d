import gc
import json
import weakref
from urllib.parse import urlsplit

import pytest
from gradio_client import Client

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.ui.config import UiSettings
from merau.stream.ui.server import App
from tests.stream.ui.connections import opener, status


def test_server_cameras_need_a_login_on_a_public_address(serve, clip):
    with pytest.raises(UserError, match="open to everyone"):
        serve(clip, host="0.0.0.0")


def test_api_names_two_endpoints_only(serve):
    app = serve()
    with opener().open(f"{app.address}gradio_api/info", timeout=20) as answer:
        assert set(json.load(answer)["named_endpoints"]) == {"/cameras", "/events"}
    assert status(opener(), f"{app.address}openapi.json") == 404


def test_api_cameras_keeps_the_old_name_of_store_error(serve, clip):
    app = serve(clip)
    (camera,) = Client(app.address, verbose=False).predict(api_name="/cameras")
    assert camera["name"] == str(clip)
    assert camera["trouble"] == camera["store_error"] == ""


def test_port_in_use_raises(serve):
    app = serve()
    port = int(app.address.rstrip("/").rpartition(":")[2])
    with pytest.raises(UserError, match=f"The port {port} is in use"):
        serve(port=port)


def test_source_that_is_missing_leaves_no_store(serve, tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        serve("/nowhere/film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_page_on_all_addresses_names_one_that_others_can_open(serve):
    app = serve(host="0.0.0.0")
    assert urlsplit(app.remote_address).hostname not in ("localhost", "0.0.0.0", "127.0.0.1")
    assert status(opener(), app.remote_address) == 200
    assert serve().remote_address is None


def test_closed_page_lets_go_of_its_nets(tmp_path):
    app = App([], Recognizer.load, UiSettings(port=0), store=tmp_path / "page.db")
    app.check()  # FastAPI remembers what it has served
    kept = weakref.ref(app.state.shared.teaching.recognizer)
    app.close()
    del app
    gc.collect()
    assert kept() is None
