import threading
from contextlib import ExitStack

import pytest

from merau.stream.scheduling import CpuSlots


def run_in_thread(action) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_slots_are_as_many_as_cores_and_the_next_thread_waits():
    slots = CpuSlots()
    all_taken, leave, entered = threading.Barrier(slots.count + 1), threading.Event(), threading.Event()

    def hold() -> None:
        with slots:
            all_taken.wait(10)
            leave.wait(10)

    def enter() -> None:
        with slots:
            entered.set()

    threads = [threading.Thread(target=hold) for _ in range(slots.count)]
    for thread in threads:
        thread.start()
    all_taken.wait(10)
    threads.append(threading.Thread(target=enter))
    threads[-1].start()
    assert not entered.wait(0.1)
    leave.set()
    for thread in threads:
        thread.join(10)
    assert entered.is_set()


def test_released_slot_is_free_for_others_and_taken_back():
    slots = CpuSlots()
    held = []

    def enter() -> None:
        with slots:
            held.append(threading.current_thread())

    with ExitStack() as stack:
        stack.enter_context(slots)
        slots._free = threading.Semaphore(0)  # all others are taken
        with slots.released():
            run_in_thread(enter)
            assert len(held) == 1
        assert not slots._free.acquire(blocking=False)


def test_release_without_a_slot_frees_none():
    slots = CpuSlots()
    slots._free = threading.Semaphore(0)
    with slots.released():
        assert not slots._free.acquire(blocking=False)
    assert not slots._free.acquire(blocking=False)


def test_released_slot_is_taken_back_after_an_error():
    slots = CpuSlots()
    with slots:
        with pytest.raises(ZeroDivisionError), slots.released():
            raise ZeroDivisionError
        with pytest.raises(RuntimeError, match="holds a CPU slot already"):
            slots.__enter__()


def test_a_thread_can_hold_one_slot_only():
    slots = CpuSlots()
    with slots, pytest.raises(RuntimeError, match="holds a CPU slot already"):
        slots.__enter__()
