"""As many frames are analysed at once as there are cores.

Left to themselves, the threads of six cameras take the interpreter and the caches from one another, and get less done.
Decoding takes no turns: a camera does not wait.
"""

import os
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

TURNS = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))  # hold one while computing, never while waiting


def aside(ask: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """`ask` without the turn of whoever calls: for the GPU, which is waited for, and for whoever else asks it."""

    def asking(*inputs: Given.args, **named: Given.kwargs) -> Answer:
        TURNS.release()
        try:
            return ask(*inputs, **named)
        finally:
            TURNS.acquire()

    return asking
