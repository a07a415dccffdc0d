"""Fixtures for the commands: the first seconds of the demo clip show a blink, then brows that rise."""

import signal
from pathlib import Path

import pytest

from tests.clips import encode_demo_start

SECONDS = 4.5


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A clip of 135 frames."""
    return encode_demo_start(tmp_path_factory.mktemp("clip") / "short.mp4", SECONDS)


@pytest.fixture(autouse=True)
def _signals():
    """main() sets signal handlers for its process, which is the tests' process here."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
