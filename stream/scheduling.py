"""Share the CPU cores between the cameras of one process.

Left to themselves, the threads of several cameras compete for the interpreter and the caches, and together analyse
fewer frames. Decoding needs no slot, so a camera never has to wait for the analysis of another one.
"""

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager


class _ThreadState(threading.local):
    holds_slot = False


class CpuSlots:
    """As many slots as there are CPU cores; a thread holds one while it computes.

    A slot belongs to the thread that took it, and only that thread can release it:

        with slots:  # waits for a free slot
            ...
            with slots.released():  # another thread computes while this one waits
                ask_the_gpu()
    """

    def __init__(self) -> None:
        self.count = count_cores()
        self._free = threading.Semaphore(self.count)
        self._thread = _ThreadState()

    def __enter__(self) -> None:
        if self._thread.holds_slot:
            raise RuntimeError("This thread holds a CPU slot already.")
        self._free.acquire()
        self._thread.holds_slot = True

    def __exit__(self, *_: object) -> None:
        self._thread.holds_slot = False
        self._free.release()

    @contextmanager
    def released(self) -> Generator[None]:
        """Give this thread's slot to others for the length of the block; without a slot, just run the block."""
        if not self._thread.holds_slot:
            yield
            return
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()


def count_cores() -> int:
    """Return the number of CPU cores that this process may use, or of the machine where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):  # on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


CPU_SLOTS = CpuSlots()  # the slots of this process, unless a pipeline is given others
