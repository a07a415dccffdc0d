"""Alarms and states at a real broker."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from merau.stream.service.alerts.alarms import Alerts
from merau.stream.service.alerts.mqtt import topic_level
from merau.stream.service.alerts.settings import AlertsConfig
from merau.stream.service.events import CameraStatus
from scripts.support.rtsp_server import free_port
from tests.stream.ui.waiting import wait_for

STATUS = CameraStatus("door", "hall", "live", datetime(2026, 3, 2, tzinfo=UTC), "", 1, 30.0, 30.0, 0)


class Broker:
    """Mosquitto, with its sessions on disk, and a subscriber that has one."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        lines = (
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
        )
        self._file.write_text(lines + "user root\n")
        self.got: list[tuple[str, str, bool]] = []
        self.start()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="test", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda *_: self._client.subscribe("#", qos=1)
        self._client.on_message = lambda _, __, m: self.got.append((m.topic, m.payload.decode(), m.retain))
        wait_for(lambda: self._connects(), "the broker")
        self._client.loop_start()
        wait_for(self._client.is_connected, "the subscriber")

    def _connects(self) -> bool:
        try:
            self._client.connect("127.0.0.1", self.port)
        except OSError:
            return False
        return True

    def start(self) -> None:
        self._process = subprocess.Popen(["mosquitto", "-c", self._file], stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self.stop()

    def texts(self, topic: str) -> list[str]:
        return [text for found, text, _ in self.got if found == topic]

    def config(self, **settings) -> AlertsConfig:
        return AlertsConfig(mqtt={"host": "127.0.0.1", "port": self.port} | settings)


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
