import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from merau.stream.ui.config import Login
from merau.stream.ui.login import MAX_BODY_BYTES, OF_ACCOUNT, OF_ADDRESS, Brake, network_of
from tests.stream.ui.connections import opener, status

PASSWORD = "correct horse"


def test_guessing_is_slowed_down_but_right_password_works(serve):
    app = serve(login=Login("anna", PASSWORD))

    def guess(password: str) -> int:
        return status(opener(), f"{app.address}login", f"username=anna&password={password}".encode())

    for number in range(OF_ADDRESS.free):
        assert guess(str(number)) == 401
    start_s = time.monotonic()
    with ThreadPoolExecutor(5) as guessers:
        answers = sorted(guessers.map(guess, map(str, range(5))))
    assert answers == [401, 429, 429, 429, 429]
    assert guess(PASSWORD) == 200
    assert time.monotonic() - start_s > 3 * OF_ADDRESS.first_s - 0.1


def test_delay_grows_and_stays_bounded():
    delays = [OF_ADDRESS.delay_s(wrong) for wrong in range(1000)]
    assert delays[: OF_ADDRESS.free] == [0.0] * OF_ADDRESS.free
    assert delays == sorted(delays)
    assert delays[-1] == OF_ADDRESS.longest_s


def test_guessing_from_many_addresses_slows_down_the_account():
    async def guess() -> tuple[float, float]:
        brake = Brake()
        for number in range(OF_ACCOUNT.free):
            assert await brake.attempt(f"192.0.2.{number}", lambda: False) is False
        start_s = time.monotonic()
        assert await brake.attempt("198.51.100.7", lambda: True) is True  # the right person, who waits a little
        return time.monotonic() - start_s, OF_ACCOUNT.first_s

    with ThreadPoolExecutor(1) as thread:  # Playwright keeps a loop in this one
        waited_s, first_s = thread.submit(asyncio.run, guess()).result()
    assert waited_s > first_s - 0.01


def test_ipv6_is_counted_by_network():
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db8:1::1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")


def test_malformed_or_long_login_is_refused(serve):
    app = serve(login=Login("anna", PASSWORD))
    for body in (b"", b"username=anna", b"\xff=\xfe", b"&" * 20, b"password=" + b"x" * (2 * MAX_BODY_BYTES)):
        assert status(opener(), f"{app.address}login", body) == 400
