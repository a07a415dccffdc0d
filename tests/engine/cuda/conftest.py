import ctypes
from collections.abc import Iterator

import pytest

from engine.cuda.device import Device


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    started = Device()
    yield started
    started.close()


@pytest.fixture
def stub() -> Iterator[ctypes.CDLL]:
    """The stub driver, which fails on demand and counts what is not given back."""
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "stub_fail"):
        pytest.skip("NVIDIA's driver does not fail on demand")
    library.stub_live.restype = library.stub_calls.restype = ctypes.c_long
    yield library
    library.stub_reset()
