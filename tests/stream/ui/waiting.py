import time
from collections.abc import Callable
from typing import Any


def wait_for(condition: Callable[[], Any], what: str, *, deadline_s: float = 60.0) -> Any:
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
    return value
