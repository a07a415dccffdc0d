"""The demonstration as a Gradio Space, run from the folder that would be pushed."""

import os
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import Request

from scripts.make_space import main
from scripts.support.rtsp_server import free_port
from tests.stream.ui.connections import opener, status

HOST = "anna-merau.hf.space"
MODULE = """
from importlib.metadata import version

from merau.stream import events

print(events.__file__, version("merau-live"))
"""


def test_space_stands_alone_and_serves_its_own_name_only(tmp_path):
    folder = tmp_path / "space"
    assert main(folder) == 0
    assert main(folder) == 1  # it never replaces a folder
    assert {path.name for path in folder.iterdir()} >= {"app.py", "README.md", "requirements.txt", "merau"}
    assert all(path.stat().st_size < 10 * 2**20 for path in folder.rglob("*") if path.is_file())
    found = subprocess.run(
        [sys.executable, "-c", MODULE], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert found.stdout.startswith(str(folder)), found.stderr
    port = free_port()
    settings = {"GRADIO_SERVER_PORT": str(port), "SPACE_HOST": HOST}
    with subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environment(**settings)) as space:
        try:
            wait_until_served(port, space)
            behind = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
            with opener().open(Request(f"http://127.0.0.1:{port}/", headers=behind), timeout=20) as answer:
                assert "frame-ancestors https://huggingface.co;" in f"{answer.headers['Content-Security-Policy']};"
                assert answer.headers["X-Frame-Options"] is None
                assert f"https://{HOST}" in answer.read().decode()
            other = Request(f"http://127.0.0.1:{port}/", headers=behind | {"Host": "evil.example"})
            assert status(opener(), other) == 403
        finally:
            space.terminate()
    assert space.returncode == 0


def environment(**settings: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | settings


def wait_until_served(port: int, space: subprocess.Popen) -> None:
    deadline_s = time.monotonic() + 120
    while time.monotonic() < deadline_s and space.poll() is None:
        try:
            assert status(opener(), f"http://127.0.0.1:{port}/") == 200
            return
        except URLError:
            time.sleep(0.2)
    raise AssertionError("the Space does not serve")
