import asyncio
import json

from merau.stream.ui.broadcast import Broadcast
from merau.stream.ui.outbox import ClientOutbox
from tests.stream.ui.waiting import run_async


def test_send_message_reaches_present_viewers_only():
    async def scene():
        broadcast = Broadcast()
        stays, leaves = (ClientOutbox(asyncio.get_running_loop()) for _ in range(2))
        for viewer in (stays, leaves):
            broadcast.add(viewer)
        broadcast.send_message({"number": 1})
        broadcast.discard(leaves)
        assert broadcast.has_viewers
        broadcast.send_message({"number": 2})
        broadcast.discard(stays)
        assert not broadcast.has_viewers
        return [[json.loads(message)["number"] for message in await viewer.drain()] for viewer in (stays, leaves)]

    assert run_async(scene()) == [[1, 2], [1]]
