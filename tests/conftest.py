"""Tests marked `gpu` need a driver: NVIDIA's, or the stub that tests/engine/cuda/test_on_stub.py runs them on."""

import ctypes
from collections.abc import Iterator

import pytest

from merau.engine.cuda import driver


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not (probe := driver.probe()).gpus:
        pytest.skip(f"not run: {probe.reason}")  # here, not by a mark: the summary then counts all of them in one line


@pytest.fixture
def stub() -> Iterator[ctypes.CDLL]:
    """The stub driver, which fails on demand and counts what is not given back."""
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "stub_fail"):
        pytest.skip("NVIDIA's driver does not fail on demand")
    library.stub_live.restype = library.stub_calls.restype = ctypes.c_long
    yield library
    library.stub_reset()
