"""Tests marked `gpu` need a driver: NVIDIA's, or the stub that tests/engine/cuda/test_on_stub.py runs them on."""

import pytest

from engine.cuda import driver


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    probe = driver.probe() if marked else None
    if probe and not probe.gpus:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"not run: {probe.why}"))
