"""The programming interface on a real store."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from merau.stream.service.alerts.alarms import Alerts
from merau.stream.service.alerts.settings import AlertsConfig
from merau.stream.service.api import build_api
from merau.stream.service.events import CameraStatus
from merau.stream.service.service import Service
from merau.stream.store import Store

DOOR = CameraStatus("door", "hall", "live", datetime(2026, 3, 2, tzinfo=UTC), "", 1, 30.0, 29.5, 7)
GATE = CameraStatus("gate", "", "lost", datetime(2026, 3, 2, tzinfo=UTC), "no route to host", 2, 0.0, 0.0, 0)
HOOK = {"name": "hook", "url": "http://127.0.0.1:1/", "secret": "a secret of the test"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    store = Store(tmp_path / "store.db")
    alerts = Alerts(AlertsConfig(webhooks=[HOOK]), tmp_path / "alarms.db")
    service = Service(store, alerts)
    service.cameras = lambda: [DOOR]
    yield service
    service.close()
    alerts.close()
    store.close()


@pytest.fixture
def api(service: Service) -> Iterator[TestClient]:
    with TestClient(build_api(service)) as client:
        yield client


@pytest.fixture
def recorded(service: Service, happen) -> None:
    """Two sessions: three events of the door, one of the gate."""
    for name, numbers in (("door", (1, 2, 3)), ("gate", (4,))):
        session = service.store.start_session(name, settings={}, bundle="default", bundle_sha256="ab")
        for number in numbers:
            service.store.put(session, happen(number, kind="blink" if number == 2 else "micro").event)
        service.store.put_clip(session, f"1-{numbers[0]}", b"an MP4")
    service.store.flush()


def test_events_come_once_in_order_and_filtered(api, service, recorded, happen):
    page = api.get("/api/v1/events", params={"limit": 3}).json()
    assert [event["event"]["id"] for event in page["events"]] == ["1-1", "1-2", "1-3"]
    assert [event["has_clip"] for event in page["events"]] == [True, False, False]
    assert page["more"]
    page = api.get("/api/v1/events", params={"since": page["next"]}).json()
    assert [(event["camera"], event["event"]["id"]) for event in page["events"]] == [("gate", "1-4")]
    assert not page["more"]
    service.store.put(1, happen(2, kind="other").event)  # it changes
    service.store.flush()
    page = api.get("/api/v1/events", params={"since": page["next"]}).json()
    assert [event["event"]["kind"] for event in page["events"]] == ["other"]
    assert api.get("/api/v1/events", params={"since": page["next"]}).json()["events"] == []
    found = api.get("/api/v1/events", params={"camera": "door", "class": "negative", "kind": ["micro", "macro"]}).json()
    assert [event["event"]["id"] for event in found["events"]] == ["1-1", "1-3"]
    assert api.get("/api/v1/events", params={"since": "2999-01-01T00:00:00+02:00"}).json()["events"] == []


def test_wrong_questions_get_a_sentence(api, recorded):
    for since in ("yesterday", "0001-01-01T00:00:00+14:00", "2026-01-01/x", "2026-01-01/" + 5000 * "9"):
        assert "neither a time" in api.get("/api/v1/events", params={"since": since}).json()["detail"]
    assert api.get("/api/v1/events", params={"since": "2026-01-01/" + 30 * "9"}).status_code == 200
    for path in (f"sessions/{2**64}", f"sessions/{2**64}/events/1/clip", f"events?session={2**64}"):
        assert api.get(f"/api/v1/{path}").status_code == 422
    assert api.get("/api/v1/events", params={"knd": "micro"}).status_code == 422
    assert api.get("/api/v1/sessions/9").json() == {"detail": "There is no such session."}
    assert api.get("/api/v1/sessions/1/events/1-2/clip").status_code == 404


def test_sessions_clips_and_cameras_are_served(api, recorded):
    assert [session["title"] for session in api.get("/api/v1/sessions").json()] == ["gate", "door"]
    assert api.get("/api/v1/sessions", params={"camera": "door"}).json()[0]["bundle"] == "default"
    assert api.get("/api/v1/sessions/2").json()["source"] == "gate"
    clip = api.get("/api/v1/sessions/1/events/1-1/clip")
    assert clip.content == b"an MP4" and clip.headers["content-type"] == "video/mp4"
    assert api.get("/api/v1/cameras").json()[0]["state"] == "live"


def test_health_turns_red_and_green_again(api, service):
    assert (api.get("/healthz").status_code, api.get("/readyz").status_code) == (200, 200)
    service.cameras = lambda: [DOOR, GATE]
    assert (api.get("/healthz").status_code, api.get("/readyz").status_code) == (200, 503)
    assert api.get("/api/v1/health").json()["cameras"] == ["gate"]
    service.cameras = lambda: [DOOR]
    service.threads = lambda: {"supervisor": False}
    assert (api.get("/healthz").status_code, api.get("/readyz").status_code) == (503, 503)
    assert api.get("/api/v1/health").json()["faults"] == ["The thread 'supervisor' has died."]
    service.threads = dict
    assert api.get("/readyz").status_code == 200


def test_metrics_parse_and_name_nobody(api, service, happen):
    service.cameras = lambda: [DOOR, GATE]
    service.put(happen(1))
    service.put(happen(1, final=False))
    families = {family.name: family for family in text_string_to_metric_families(api.get("/metrics").text)}
    assert {"merau_events", "merau_camera_state", "merau_alarms_waiting", "process_resident_memory_bytes"} <= set(
        families
    )
    values = {(s.name, *s.labels.values()): s.value for family in families.values() for s in family.samples}
    assert values["merau_events_total", "door", "micro"] == 1
    assert values["merau_camera_state", "gate", "lost"] == values["merau_alive",] == 1
    assert values["merau_camera_dropped_frames_total", "door"] == 7 and values["merau_ready",] == 0
    ours = {label for name, f in families.items() if name.startswith("merau") for s in f.samples for label in s.labels}
    assert ours == {"version", "camera", "kind", "state", "receiver"}


def test_live_stream_sends_what_is_wanted(api, service, happen):
    with api.websocket_connect("/api/v1/events/live?kind=micro&final=true") as socket:
        for number, changes in enumerate(({"kind": "blink"}, {"final": False}, {})):
            service.put(happen(number, **changes))
        told = socket.receive_json()
    assert (told["camera"], told["group"], told["event"]["id"]) == ("door", "hall", "1-2")


def test_openapi_describes_all(api):
    document = api.get("/api/openapi.json").json()
    assert {"/api/v1/events", "/api/v1/sessions", "/api/v1/cameras", "/metrics", "/healthz"} <= set(document["paths"])
    assert "probabilities" in document["components"]["schemas"]["EventFields"]["properties"]
