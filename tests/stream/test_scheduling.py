from contextlib import ExitStack

from merau.stream.scheduling import TURNS, aside


def free() -> int:
    """How many turns can be had."""
    with ExitStack() as taken:
        count = 0
        while TURNS.acquire(blocking=False):
            taken.callback(TURNS.release)
            count += 1
        return count


def test_who_waits_for_the_gpu_leaves_the_turn_and_takes_it_again():
    every = free()
    with TURNS:
        assert aside(free)() == every
        assert free() == every - 1
    assert free() == every
