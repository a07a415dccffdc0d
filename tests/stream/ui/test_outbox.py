import asyncio
import json

import pytest

from merau.stream.ui.outbox import MAX_MESSAGES, ClientOutbox, LiveFrame, OutboxOverflow
from tests.stream.ui.waiting import run_async


def frame(number, camera=1):
    return LiveFrame(camera, {"t_s": float(number)}, ((float(number), 1, 0.5, 0.1),), b"mesh", b"jpeg")


def unpack(message):
    length = int.from_bytes(message[:4], "little")
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def in_loop(scene):
    async def run():
        return await scene(ClientOutbox(asyncio.get_running_loop()))

    return run_async(run())


def test_drain_slow_page_loses_frames_but_no_message_or_motion():
    async def scene(outbox):
        for number in range(5):
            outbox.put_frame(frame(number))
            outbox.put_message({"number": number})
        outbox.put_frame(frame(9, camera=2))
        return [await outbox.drain(), await outbox.drain()]

    first, second = in_loop(scene)
    assert [json.loads(message)["number"] for message in first[:5]] == list(range(5))
    (header, rest), (other, _) = map(unpack, first[5:])
    assert header["t_s"] == 3
    assert [point[0] for point in header["points"]] == [0, 1, 2, 3]
    assert header["mesh"] == 0
    assert rest == b"jpeg"
    assert other["camera"] == 2
    (last, _), *more = map(unpack, second)
    assert last["t_s"] == 4
    assert not more


def test_drain_sends_the_mesh_on_request():
    async def scene(outbox):
        outbox.sends_mesh = True
        outbox.put_frame(frame(0))
        return await outbox.drain()

    header, rest = unpack(in_loop(scene)[0])
    assert header["mesh"] == len(b"mesh")
    assert rest == b"meshjpeg"


def test_put_message_up_to_the_limit_loses_none():
    async def scene(outbox):
        for number in range(MAX_MESSAGES):
            outbox.put_message({"number": number})
        assert not outbox.overflowed.is_set()
        return await outbox.drain()

    assert [json.loads(message)["number"] for message in in_loop(scene)] == list(range(MAX_MESSAGES))


def test_put_message_over_the_limit_ends_the_connection():
    async def scene(outbox):
        for number in range(MAX_MESSAGES + 1):
            outbox.put_message({"number": number})
        outbox.put_frame(frame(0))
        await asyncio.wait_for(outbox.overflowed.wait(), 1)
        with pytest.raises(OutboxOverflow):
            await outbox.drain()
        outbox.put_message({"number": 0})
        with pytest.raises(OutboxOverflow):
            await outbox.drain()

    in_loop(scene)
