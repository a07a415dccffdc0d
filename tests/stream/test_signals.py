import signal

import pytest

from merau.stream.signals import interrupts_after_step, interrupts_between_steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_comes_between_steps(number):
    handler, steps = signal.getsignal(number), []
    with pytest.raises((KeyboardInterrupt, SystemExit)) as raised, interrupts_between_steps() as check:
        signal.raise_signal(number)
        steps.append("goes on")
        check()
        steps.append("not reached")
    assert steps == ["goes on"]
    assert getattr(raised.value, "code", 130) == 128 + number
    assert signal.getsignal(number) is handler


def test_interrupt_in_the_last_step_is_not_lost():
    with pytest.raises(KeyboardInterrupt), interrupts_between_steps():
        signal.raise_signal(signal.SIGINT)


def test_interrupt_of_a_step_comes_after_it_and_a_second_one_at_once():
    steps = []
    with pytest.raises(KeyboardInterrupt), interrupts_after_step():
        signal.raise_signal(signal.SIGINT)
        steps.append("goes on")
    with pytest.raises(KeyboardInterrupt), interrupts_after_step():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        steps.append("not reached")
    assert steps == ["goes on"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
