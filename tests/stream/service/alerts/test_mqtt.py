"""Alarms and states at a real broker."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from merau.stream.service.alerts.alarms import Alerts
from merau.stream.service.alerts.mqtt import topic_level
from merau.stream.service.events import CameraStatus
from tests.stream.service.alerts.support import Broker
from tests.stream.ui.waiting import wait_for

STATUS = CameraStatus("door", "hall", "live", datetime(2026, 3, 2, tzinfo=UTC), "", 1, 30.0, 30.0, 0)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.close()


def test_broker_down_and_back_loses_no_alarm(broker, tmp_path, happen):
    alerts = Alerts(broker.config(), tmp_path / "alarms.db")
    alerts.put(happen(1))
    wait_for(lambda: len(broker.texts("merau/door/event")) == 1, "the first alarm")
    broker.stop()
    for number in range(2, 6):
        alerts.put(happen(number))
    wait_for(lambda: alerts.status()[0].waiting == 4, "alarms that wait")
    broker.start()
    wait_for(lambda: len(broker.texts("merau/door/event")) == 5, "all alarms")
    alerts.close()
    alarms = [json.loads(text) for text in broker.texts("merau/door/event")]
    assert [alarm["event"]["id"] for alarm in alarms] == [f"1-{number}" for number in range(1, 6)]
    assert len({alarm["key"] for alarm in alarms}) == 5


def test_states_and_discovery_are_retained_and_taken_back(broker, tmp_path):
    alerts = Alerts(broker.config(), tmp_path / "alarms.db")
    alerts.show_cameras([STATUS])
    found = wait_for(lambda: broker.texts("homeassistant/event/merau_door/event/config"), "discovery")
    config = json.loads(found[0])
    assert config["state_topic"] == "merau/door/event" and "micro" in config["event_types"]
    assert config["availability_topic"] == "merau/status"
    assert json.loads(broker.texts("merau/door/state")[0])["state"] == "live"
    assert broker.texts("merau/status") == ["online"]
    alerts.show_cameras([])
    wait_for(lambda: "" in broker.texts("homeassistant/event/merau_door/event/config"), "the end of the camera")
    alerts.close()
    wait_for(lambda: broker.texts("merau/status")[-1] == "offline", "the farewell")


DIE = """
import os, sys, time
from pathlib import Path
from merau.stream.service.alerts.mqtt import Mqtt
from merau.stream.service.alerts.settings import MqttConfig
mqtt = Mqtt(MqttConfig(host="127.0.0.1", port=int(sys.argv[1])))
while not mqtt.is_ready: time.sleep(0.05)
print("ready", flush=True)
time.sleep(60)
"""


def test_killed_service_is_offline_by_its_last_will(broker):
    with subprocess.Popen([sys.executable, "-c", DIE, str(broker.port)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        wait_for(lambda: broker.texts("merau/status") == ["online"], "the service")
        process.kill()
    wait_for(lambda: broker.texts("merau/status") == ["online", "offline"], "the last will")


def test_topic_levels_stay_apart():
    levels = [topic_level(name) for name in ("door", "front door", "front/door", "Tür +#")]
    assert levels[0] == "door" and len(set(levels)) == 4
    assert all(level.replace("_", "").replace("-", "").isalnum() and level.isascii() for level in levels)
