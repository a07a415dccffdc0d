"""Tests marked `gpu` need a driver: NVIDIA's, or the stub that test_on_stub.py runs them on."""

import ctypes
from collections.abc import Iterator

import pytest

from engine.cuda import driver
from engine.cuda.device import Device


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    probe = driver.probe() if marked else None
    if probe and not probe.gpus:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"not run: {probe.why}"))


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
    library.stub_live.restype = ctypes.c_long
    yield library
    library.stub_reset()
