from merau.stream.service.overload import CALM_S, STEPS, Overload


def run(overload, seconds, dropped_share, start):
    """Observe one camera of 30 frames/s twice in a second; returns the steps that were taken."""
    at_s, frames, dropped = start
    taken = []
    for _ in range(2 * seconds):
        at_s, frames, dropped = at_s + 0.5, frames + 15, dropped + round(15 * dropped_share)
        if overload.observe(at_s, frames, dropped):
            taken.append(STEPS.index(overload.step))
    return taken, (at_s, frames, dropped)


def test_overload_eases_step_by_step_and_takes_it_back():
    overload, state = Overload(), (100.0, 0, 0)
    taken, state = run(overload, 20, 0.0, state)
    assert taken == []
    taken, state = run(overload, 35, 0.4, state)
    assert taken == [1, 2, 3]
    taken, state = run(overload, int(CALM_S) - 5, 0.0, state)
    assert taken == []
    taken, state = run(overload, 3 * int(CALM_S) + 20, 0.0, state)
    assert taken == [2, 1, 0]


def test_overload_waits_longer_after_a_step_back_too_early():
    overload, state = Overload(), (0.0, 0, 0)
    taken, state = run(overload, 10, 0.4, state)
    taken, state = run(overload, int(CALM_S) + 5, 0.0, state)
    assert taken == [0]
    taken, state = run(overload, 10, 0.0, state)
    taken, state = run(overload, 2, 0.4, state)
    assert taken == [1]
    taken, state = run(overload, int(1.9 * CALM_S), 0.0, state)
    assert taken == []


def test_overload_forgets_the_counts_of_an_ended_session():
    overload = Overload()
    assert not overload.observe(0.0, 900, 0)
    assert not overload.observe(5.0, 1050, 60)
    assert not overload.observe(10.0, 10, 0)
    assert overload.step is STEPS[0]
