"""The interface on a port of its own, asked by a real client."""

import json
import subprocess
import sys

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from merau.engine.errors import UserError
from merau.stream.service.alerts.settings import ApiConfig
from merau.stream.service.service import Service
from merau.stream.service.telling import serve_api
from merau.stream.store import Store
from scripts.support.rtsp_server import free_port

TOKEN = "a token of the test"


def test_live_stream_needs_the_token(tmp_path, happen):
    config = ApiConfig(port=free_port(), token=TOKEN)
    service = Service(Store(tmp_path / "store.db"))
    address = f"ws://127.0.0.1:{config.port}/api/v1/events/live?camera=door"
    with serve_api(service, config, None):
        for headers in ({}, {"Authorization": "Bearer another"}):
            with pytest.raises(InvalidStatus, match="401"), connect(address, additional_headers=headers):
                pass
        with connect(address, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as socket:
            service.put(happen(1, camera="gate"))
            service.put(happen(2))
            assert json.loads(socket.recv(timeout=20))["event"]["id"] == "1-2"
        with pytest.raises(UserError, match="in use"), serve_api(service, config, None):
            pass
    service.close()
    service.store.close()


def test_interface_alone_does_not_load_gradio():
    chain = "merau.stream.service.api, merau.stream.service.telling, merau.stream.ui.gate, merau.stream.ui.page_server"
    code = f"import sys, {chain}; assert 'gradio' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
