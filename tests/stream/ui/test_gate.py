"""Who may ask the interface, by a real request through the real guard."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from merau.stream.ui.config import Login, UiSettings
from merau.stream.ui.gate import Gate
from merau.stream.ui.guard import known_hosts
from merau.stream.ui.login import Logins

TOKEN = "a token of the test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LOGIN = Login("ann", "secret")
OPEN = UiSettings()
GUARDED = UiSettings(host="0.0.0.0", login=LOGIN)
PUBLIC = UiSettings(host="0.0.0.0")


def client(settings: UiSettings, token: str | None = TOKEN, host: str = "127.0.0.1") -> TestClient:
    api = FastAPI()
    for path in ("/api/v1/cameras", "/metrics", "/healthz"):
        api.get(path)(lambda: "told")
    gate = Gate(None, settings, Logins(settings.login), known_hosts(settings))
    gate.open(api, token)
    return TestClient(gate, base_url=f"http://{host}")


@pytest.mark.parametrize("settings", [OPEN, GUARDED, PUBLIC])
@pytest.mark.parametrize("path", ["/api/v1/cameras", "/metrics"])
def test_token_opens_and_its_lack_does_not(settings, path):
    asking = client(settings, host="merau.example.org")
    assert asking.get(path, headers=BEARER).json() == "told"
    for wrong in ({}, {"Authorization": "Bearer another"}, {"Authorization": f"Basic {TOKEN}"}):
        assert asking.get(path, headers=wrong).status_code in (401, 403)
    assert asking.get("/healthz").json() == "told"


def test_this_machine_needs_no_token_where_there_is_none():
    assert client(OPEN, None).get("/metrics").json() == "told"
    assert (
        client(OPEN, None, "merau.example.org").get("/metrics").status_code == 403
    )  # its name may be a foreign site's
    assert client(OPEN, None).get("/metrics", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client(PUBLIC, None).get("/metrics").status_code == 401
    assert client(GUARDED, None).get("/metrics").status_code == 401


def test_other_addresses_are_told_apart():
    assert client(OPEN).get("/nothing").status_code == 404
    assert client(GUARDED).get("/nothing").status_code == 401


def test_interface_lies_below_the_path_of_the_page():
    asking = client(UiSettings(root_path="/faces"), None)
    assert asking.get("/faces/metrics").json() == asking.get("/faces/healthz").json() == "told"
    assert asking.get("/healthz").json() == "told"  # a probe of this machine need not know the path
    assert asking.get("/metrics").status_code == asking.get("/other/metrics").status_code == 404
