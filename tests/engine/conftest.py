import pytest

from merau.engine.recognizer import Recognizer


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """The recognizer that runs by default on this machine."""
    return Recognizer.load()
