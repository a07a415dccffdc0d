"""Tests marked `gpu` need a driver: NVIDIA's, or the stub that tests/engine/cuda/test_on_stub.py runs them on."""

import ctypes
from collections.abc import Iterator

import pytest

from engine.cuda import driver


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    probe = driver.probe() if marked else None
    if probe and not probe.gpus:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"not run: {probe.why}"))


@pytest.fixture
def stub() -> Iterator[ctypes.CDLL]:
    """The stub driver, which fails on demand and counts what is not given back."""
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "stub_fail"):
        pytest.skip("NVIDIA's driver does not fail on demand")
    library.stub_live.restype = library.stub_calls.restype = ctypes.c_long
    yield library
    library.stub_reset()
