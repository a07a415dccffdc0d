"""The demonstration as a Gradio Space: visitors analyse their own webcams and recordings.

`python scripts/make_space.py FOLDER` makes the whole Space. There is no login, and there are no cameras of the server.
"""

import os
import sys
import tempfile
from pathlib import Path

from merau.engine.recognizer import Recognizer
from merau.stream.ui.config import UiSettings
from merau.stream.ui.server import App, until_stopped

PROXIES = ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")  # the Space's, in a private network


def load(bundle: Path | None) -> Recognizer:
    """Load the recognizer of one webcam or recording."""
    return Recognizer.load(bundle, device="cpu")


def settings() -> UiSettings:
    """Return how the page is served, as the Space's environment says."""
    return UiSettings(
        host="0.0.0.0",  # noqa: S104  (a Space's container is reached through its proxy)
        port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        allowed_hosts=tuple(filter(None, [os.environ.get("SPACE_HOST", "")])),
        trusted_proxies=PROXIES,
        embedders=("https://huggingface.co",),
        retention_h=1.0,
        upload_mb=100,
    )


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        until_stopped(App([], load, settings(), store=Path(folder) / "merau.db")) as stopped,
    ):
        print("The page is served.", file=sys.stderr, flush=True)
        stopped.wait()
