"""Whom alarms are told to in tests: a real web server and a real broker."""

import json
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from merau.stream.service.alerts.settings import AlertsConfig
from scripts.support.rtsp_server import free_port
from tests.stream.ui.waiting import wait_for

SECRET = "a secret of the test"


class WebServer(ThreadingHTTPServer):
    """Takes alarms; answers with `statuses`, one after the other, then 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.got: list[tuple[int, dict[str, str], str]] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def taken(self) -> list[dict]:
        return [json.loads(body) for status, _, body in self.got if status == 200]

    def config(self, **settings) -> AlertsConfig:
        url = f"http://127.0.0.1:{self.server_port}/alarm"
        return AlertsConfig(webhooks=[{"name": "hook", "url": url, "secret": SECRET} | settings])


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.send_response(status)
        self.end_headers()
        self.server.got.append((status, dict(self.headers), body))

    def log_message(self, *_) -> None:
        pass


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
