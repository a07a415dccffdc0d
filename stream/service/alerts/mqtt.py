"""Delivers alarms to an MQTT broker, with the state of each camera, and tells Home Assistant of both."""

import hashlib
import json
import logging
import re
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from merau.engine.errors import UserError
from merau.stream.events import KINDS
from merau.stream.service.alerts.courier import DeliveryError
from merau.stream.service.alerts.queue import Delivery
from merau.stream.service.alerts.settings import MqttConfig
from merau.stream.service.events import CameraStatus

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

LOG = logging.getLogger(__name__)
ANSWER_S = 10.0  # within which a broker confirms an alarm
RECONNECT_S = (1, 30)  # the first and the longest pause
CLOSE_S = 2.0
ONLINE, OFFLINE = "online", "offline"


class Mqtt:
    """The connection to a broker, kept up until `close`.

    Alarms are published at QoS 1: the broker confirms each, and one that it did not confirm is published again under
    the same key. States are retained. "online" and "offline" of the service stand at TOPIC/status: the broker itself
    says "offline" when the service dies (last will).

    Attributes:
        name: Name of the receiver in the queue.
        give_up_s: None: an alarm waits for the broker as long as it takes.

    Raises:
        UserError: The certificate cannot be read.
    """

    def __init__(self, config: MqttConfig) -> None:
        self._config = config
        self.name = "mqtt"
        self.give_up_s: float | None = None
        self._states: dict[str, CameraStatus] = {}  # by the camera's part of the topic
        self._published: dict[str, str] = {}  # retained messages at the broker, by topic
        self._lock = threading.Lock()  # of both
        self._unconfirmed: dict[int, MQTTMessageInfo] = {}  # by the number of the delivery
        self._client = self._make_client()
        self._client.connect_async(config.host, config.broker_port)
        self._client.loop_start()

    @property
    def is_ready(self) -> bool:
        """Whether the broker is connected."""
        return bool(self._client.is_connected())

    def deliver(self, delivery: Delivery) -> None:
        """Publish one alarm and wait until the broker confirms it. Raises DeliveryError where it does not.

        The client publishes an unconfirmed message again by itself when it reconnects: a later try waits for that.
        """
        info = self._unconfirmed.pop(delivery.id, None)
        if info is None:
            camera = json.loads(delivery.body)["camera"]
            info = self._client.publish(f"{self._config.topic}/{topic_level(camera)}/event", delivery.body, qos=1)
        try:
            info.wait_for_publish(ANSWER_S)
            if info.is_published():
                return
        except (RuntimeError, ValueError) as error:  # it was not even queued
            raise DeliveryError("The MQTT broker takes no alarm: {reason}.", reason=error) from error
        self._unconfirmed[delivery.id] = info
        raise DeliveryError("The MQTT broker does not confirm an alarm within {seconds:g} s.", seconds=ANSWER_S)

    def show_cameras(self, cameras: Sequence[CameraStatus]) -> None:
        """Publish what has changed of the cameras' states, and take back what was said of cameras that are gone."""
        with self._lock:
            self._states = {topic_level(camera.name): camera for camera in cameras}
            if self.is_ready:
                self._publish_states()

    def close(self) -> None:
        """Say that the service is offline, and disconnect."""
        if self.is_ready:
            farewell = self._client.publish(f"{self._config.topic}/status", OFFLINE, qos=1, retain=True)
            with suppress(RuntimeError, ValueError):  # the connection has just gone: the last will says it
                farewell.wait_for_publish(CLOSE_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self) -> "Client":
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        config = self._config
        client = Client(CallbackAPIVersion.VERSION2, client_id=config.client_id, clean_session=False)
        client.enable_logger(logging.getLogger("paho.mqtt"))  # of warnings and errors: its thread goes on after them
        client.suppress_exceptions = True
        client.reconnect_delay_set(*RECONNECT_S)
        client.will_set(f"{config.topic}/status", OFFLINE, qos=1, retain=True)
        if config.user is not None:
            client.username_pw_set(config.user, config.password.get_secret_value() if config.password else None)
        if config.tls:
            client.tls_set_context(self._tls_context())
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = lambda *_: LOG.warning("The MQTT broker at %s cannot be reached.", config.host)
        return client

    def _tls_context(self) -> ssl.SSLContext:
        file = self._config.ca_file
        try:
            return ssl.create_default_context(cafile=str(file) if file else None)
        except OSError as error:
            raise UserError("alerts.mqtt.ca_file {file} cannot be used: {reason}.", file=file, reason=error) from error

    def _on_connect(self, client: "Client", _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            LOG.error("The MQTT broker at %s refuses the connection: %s.", self._config.host, reason)
            return
        LOG.info("The MQTT broker at %s is connected.", self._config.host)
        client.publish(f"{self._config.topic}/status", ONLINE, qos=1, retain=True)
        with self._lock:
            self._published.clear()  # it may be another broker, or one that forgot
            self._publish_states()

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if reason.is_failure:
            LOG.warning("The MQTT broker at %s is lost: %s.", self._config.host, reason)

    def _publish_states(self) -> None:
        wanted: dict[str, str] = {}
        for level, camera in self._states.items():
            wanted[f"{self._config.topic}/{level}/state"] = json.dumps(camera_fields(camera))
            if self._config.discovery:
                wanted |= discovery(self._config.topic, self._config.discovery, level, camera)
        gone = dict.fromkeys(self._published.keys() - wanted.keys(), "")  # an empty message deletes a retained one
        for topic, text in (wanted | gone).items():
            if self._published.get(topic) != text:
                self._client.publish(topic, text, qos=1, retain=True)
        self._published = wanted


def topic_level(camera: str) -> str:
    """Return a camera's level in topics: its name, where that has letters, digits, "-" and "_" only.

    Others are replaced by "_", and a few digits of a hash keep two names apart.
    """
    level = re.sub(r"[^A-Za-z0-9_-]", "_", camera)
    return level if level == camera else f"{level}_{hashlib.sha256(camera.encode()).hexdigest()[:6]}"


def camera_fields(camera: CameraStatus) -> dict[str, Any]:
    """Return what is told of a camera's state; nothing in it changes while the state does not."""
    return {
        "state": camera.state,
        "since": camera.since.isoformat(timespec="seconds"),
        "error": camera.error,
        "camera": camera.name,
        "group": camera.group,
    }


def discovery(topic: str, prefix: str, level: str, camera: CameraStatus) -> dict[str, str]:
    """Return Home Assistant's discovery messages of a camera, by topic: its events, and whether it is connected."""
    device = f"{topic.replace('/', '_')}_{level}"
    common = {
        "availability_topic": f"{topic}/status",
        "device": {"identifiers": [device], "name": camera.name, "manufacturer": "merau-live"},
        "origin": {"name": "merau-live", "sw_version": version("merau-live")},
    }
    event = {
        "name": "Expression",
        "unique_id": f"{device}_event",
        "state_topic": f"{topic}/{level}/event",
        "event_types": list(KINDS),
        "icon": "mdi:emoticon-outline",
    }
    connected = {
        "name": "Connection",
        "unique_id": f"{device}_connected",
        "device_class": "connectivity",
        "state_topic": f"{topic}/{level}/state",
        "value_template": "{{ 'ON' if value_json.state == 'live' else 'OFF' }}",
        "json_attributes_topic": f"{topic}/{level}/state",
    }
    return {
        f"{prefix}/event/{device}/event/config": json.dumps(event | common),
        f"{prefix}/binary_sensor/{device}/connected/config": json.dumps(connected | common),
    }
