"""`merau ui --share`, unpatched, through a stand-in for the tunnel program (tests/stream/ui/tunnel.py)."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, Request, build_opener

import pytest
from gradio.tunneling import BINARY_FILENAME
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.stream.ui import tunnel
from tests.stream.ui.tunnel import LINK
from tests.stream.ui.waiting import wait_for


class SharedPage:
    """The running command, and what a guest reaches through its link."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        frpc = folder / "gradio" / "frpc" / BINARY_FILENAME
        frpc.parent.mkdir(parents=True)
        frpc.write_text(f"#!{sys.executable}\n{Path(tunnel.__file__).read_text()}")
        frpc.chmod(0o755)
        self.at = frpc.with_suffix(".at")
        command = [sys.executable, "-m", "merau", "ui", "--share", "--port", "0", *arguments]
        self.process = subprocess.Popen(
            [*command, "--store", str(folder / "page.db")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_HOME": str(folder), "GRADIO_SHARE_SERVER_ADDRESS": "127.0.0.1:1"} | environment,
        )
        self.opener: OpenerDirector = build_opener(ProxyHandler({}), HTTPCookieProcessor())
        self.cookie = ""

    @property
    def tunnel_runs(self) -> bool:
        return Path(f"/proc/{self.at.read_text().split()[0]}").exists()

    @property
    def port(self) -> int:
        return int(self.at.read_text().split()[1])

    def ask(self, path: str, body: object = None) -> bytes:
        headers = {"Host": LINK, "Content-Type": "application/json", "Cookie": self.cookie}
        data = None if body is None else json.dumps(body).encode()
        with self.opener.open(Request(f"http://127.0.0.1:{self.port}/{path}", data, headers), timeout=20) as answer:
            return answer.read()

    def log_in(self, user: str, password: str) -> None:
        form = Request(f"http://127.0.0.1:{self.port}/login", f"username={user}&password={password}".encode())
        with self.opener.open(form, timeout=20) as answer:
            cookies = [cookie.partition(";")[0] for cookie in answer.headers.get_all("Set-Cookie")]
        self.cookie = "; ".join(cookies)

    def open_page(self) -> dict[str, Any]:
        """Open the page as its scripts do; returns what they receive."""
        config = json.loads(self.ask("config"))
        number = next(one["id"] for one in config["dependencies"] if any(how == "load" for _, how in one["targets"]))
        self.ask("gradio_api/queue/join", {"data": [""], "fn_index": number, "session_hash": "guest"})
        for line in self.ask("gradio_api/queue/data?session_hash=guest").decode().splitlines():
            message = json.loads(line.removeprefix("data:")) if line else {}
            if message.get("msg") == "process_completed":
                return message["output"]["data"][1]
        raise AssertionError("the page does not open")

    def live(self, token: str, origin: str) -> ClientConnection:
        return connect(
            f"ws://{LINK}/merau/live?token={token}",
            sock=socket.create_connection(("127.0.0.1", self.port)),
            origin=origin,
            additional_headers={"Cookie": self.cookie},
            max_queue=None,
        )

    def has_camera_field(self) -> bool:
        fields = json.loads(self.ask("config"))["components"]
        return next(one["props"]["visible"] for one in fields if one["props"].get("elem_id") == "spec")


def stop(shared: SharedPage) -> tuple[str, str]:
    """Stop the command; returns what it wrote after that."""
    shared.process.send_signal(signal.SIGINT)
    return shared.process.communicate(timeout=60)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Any]:
    running: list[SharedPage] = []

    def start(*arguments: str, **environment: str) -> SharedPage:
        running.append(SharedPage(tmp_path, *arguments, **environment))
        return running[-1]

    yield start
    for shared in running:
        stop(shared)


def test_guest_by_link_sees_no_server_camera(share):
    shared = share("--json")
    assert json.loads(shared.process.stdout.readline())["public"] == f"https://{LINK}"
    assert b"merau-live" in shared.ask("")
    entry = shared.open_page()
    assert not entry["trusted"]
    assert not shared.has_camera_field()
    with pytest.raises(HTTPError, match="404"):
        shared.ask(f"merau/get/events?token={entry['token']}&workspace=server&session=1&format=csv")
    with shared.live(entry["token"], f"https://{LINK}") as live:
        assert json.loads(live.recv(timeout=20))["workspace"] == "mine"
    with pytest.raises(InvalidStatus, match="403"):
        shared.live(entry["token"], "https://evil.example")
    assert stop(shared)[0] == ""
    assert shared.process.returncode == 0
    wait_for(lambda: not shared.tunnel_runs, "the tunnel to end", deadline_s=10)


def test_logged_in_guest_by_link_sees_server_cameras(share, clip, tmp_path):
    (tmp_path / "password").write_text("geheim\n")
    shared = share(str(clip), "--auth", f"anna:{tmp_path}/password")
    assert f"https://{LINK}" in shared.process.stdout.readline()
    with pytest.raises(HTTPError, match="401"):
        shared.ask("config")
    shared.log_in("anna", "geheim")
    entry = shared.open_page()
    assert entry["trusted"]
    assert shared.has_camera_field()
    with shared.live(entry["token"], f"https://{LINK}") as live:
        assert json.loads(live.recv(timeout=20))["cameras"][0]["name"] == str(clip)


def test_share_without_link_serves_nothing(share):
    shared = share("--json", NO_LINK="1")
    output, errors = shared.process.communicate(timeout=60)
    assert shared.process.returncode == 1
    assert output == ""
    assert errors.splitlines()[-1].startswith("merau: The public link could not be made")
    wait_for(lambda: not shared.tunnel_runs, "the tunnel to end", deadline_s=10)
