"""A service that tells others of what its camera sees: all parts real."""

import json
import os
import signal
import urllib.error
import urllib.parse
import urllib.request

from merau.stream.demo import CLIP
from merau.stream.store import read_events
from scripts.support.rtsp_server import RtspServer, free_port
from tests.stream.commands.process import start_merau
from tests.stream.service.alerts.support import SECRET, Broker, WebServer
from tests.stream.ui.waiting import wait_for

TOKEN = "a token of the test"
CONFIG = """\
store: {folder}/events.db
defaults: {{purpose: a test}}
cameras:
  - {{name: Front door, group: hall, source: "rtsp://127.0.0.1:{camera}/cam"}}
api: {{port: {api}, token: "${{MERAU_TOKEN}}"}}
alerts:
  mqtt: {{host: 127.0.0.1, port: {broker}, filter: {{kinds: []}}}}
  webhooks:
    - name: desk
      url: http://127.0.0.1:{web}/
      secret: {secret}
      filter: {{cameras: [Front door], kinds: [], per_minute: 100}}
"""


def ask(port: int, path: str, token: str | None = TOKEN) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_serve_tells_each_event_once_and_turns_red(tmp_path):
    broker, port = Broker(tmp_path), free_port()
    environment = os.environ | {"MERAU_TOKEN": TOKEN}
    with RtspServer(CLIP) as camera, WebServer() as web:
        ports = {"camera": camera.port, "api": port, "broker": broker.port, "web": web.server_port}
        (tmp_path / "cameras.yaml").write_text(CONFIG.format(folder=tmp_path, secret=SECRET, **ports))
        process = start_merau("serve", tmp_path / "cameras.yaml", "--log-json", env=environment)
        wait_for(lambda: ask(port, "/readyz", None)[0] == 200 and web.taken, "an alarm", deadline_s=300)
        assert ask(port, "/api/v1/cameras", None)[0] == 401
        assert '"live"' in ask(port, "/api/v1/cameras")[1]
        assert 'merau_camera_state{camera="Front door",state="live"} 1.0' in ask(port, "/metrics")[1]
        found = json.loads(ask(port, "/api/v1/events?camera=" + urllib.parse.quote("Front door"))[1])["events"]
        assert found[0]["event"]["id"] == web.taken[0]["event"]["id"]
        camera.kill()
        wait_for(lambda: ask(port, "/readyz", None)[0] == 503, "a red light", deadline_s=120)
        assert ask(port, "/healthz", None)[0] == 200
        assert json.loads(ask(port, "/api/v1/health")[1])["cameras"] == ["Front door"]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        web.shutdown()
    broker.close()
    assert process.returncode == 0, err
    assert out == ""
    log = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert {"Front door"} == {line["camera"] for line in log if "camera" in line}
    assert TOKEN not in err and SECRET not in err
    final = sorted(event.id for event in read_events(tmp_path / "events.db") if event.final)
    told = [json.loads(text) for topic, text, _ in broker.got if topic.endswith("/event")]
    assert sorted(alarm["event"]["id"] for alarm in web.taken) == final
    assert sorted(alarm["event"]["id"] for alarm in told) == final
    assert broker.texts("merau/status") == ["online", "offline"]
