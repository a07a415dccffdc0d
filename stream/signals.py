"""Ctrl-C and SIGTERM, for commands that run until somebody stops them."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Windows has no SIGHUP.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def on_stop_signal(stop: Callable[[], None], reload: Callable[[], None] | None = None) -> Iterator[None]:
    """Call `stop` at the first Ctrl-C, SIGTERM or SIGHUP (the terminal was closed); a second one kills.

    With `reload`, SIGHUP calls that instead, each time.

    After the block the signals do what they did before: they interrupt what still waits, such as a store whose file is
    locked.
    """

    def handle(number: int, _: FrameType | None) -> None:
        if reload and number == getattr(signal, "SIGHUP", None):
            reload()
        else:
            signal.signal(number, signal.SIG_DFL)
            stop()

    with _handled(handle):
        yield


@contextmanager
def interrupts_between_steps() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C, SIGTERM and SIGHUP back until the yielded function is called, or the block ends.

    In a call of compiled code numba turns KeyboardInterrupt into SystemError. A second signal kills. Outside the main
    thread nothing is held back, as Python delivers no signals there.

    Raises:
        KeyboardInterrupt, SystemExit: A signal came; raised by the yielded function, or at the end.
    """
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        received.append(number)

    def check() -> None:
        if received:
            raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(128 + received[0])

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    with _handled(handle):
        yield check
    check()


@contextmanager
def interrupts_after_step() -> Iterator[None]:
    """Let Python's handlers of Ctrl-C, SIGTERM and SIGHUP run after the block, not in it.

    In a call of compiled code numba turns the KeyboardInterrupt of a handler into SystemError. A second signal is
    handled at once. Outside the main thread nothing changes, as Python delivers no signals there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    handlers = {int(number): found for number in STOP_SIGNALS if callable(found := signal.getsignal(number))}

    def hold(number: int, frame: FrameType | None) -> None:
        signal.signal(number, handlers[number])
        received.append((number, frame))

    try:
        for number in handlers:
            signal.signal(number, hold)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number, frame in received:
        handlers[number](number, frame)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Ignore Ctrl-C, SIGTERM and SIGHUP; a process that is started in the block ignores them for good."""
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def _handled(handle: Callable[[int, FrameType | None], Any] | signal.Handlers) -> Iterator[None]:
    caught = [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as nohup has it
    before = {number: signal.signal(number, handle) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
