from merau.engine.errors import UserError
from merau.stream.guard import Guard


def test_guard_logs_a_repeated_error_once_and_goes_on(caplog):
    guard, done = Guard("a thread"), 0
    for error in (UserError("no room"), UserError("no room"), None):
        with guard.item():
            if error:
                raise error
            done += 1
    assert (done, guard.failed) == (1, False)
    assert [record.getMessage() for record in caplog.records] == ["a thread: no room"]
    with guard.item():
        raise ZeroDivisionError("ours")
    assert guard.failed
    assert caplog.records[-1].getMessage() == "a thread: ZeroDivisionError: ours"
