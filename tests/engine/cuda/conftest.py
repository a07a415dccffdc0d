from collections.abc import Iterator

import pytest

from merau.engine.cuda.device import Device


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    started = Device()
    yield started
    started.close()
