import asyncio
import json

from merau.stream.ui.outbox import ClientOutbox, LiveFrame


def shot(number, camera=1):
    return LiveFrame(camera, {"t_s": float(number)}, ((float(number), 1, 0.5, 0.1),), b"mesh", b"jpeg")


def unpacked(message):
    length = int.from_bytes(message[:4], "little")
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def test_a_slow_page_loses_old_pictures_but_no_word_and_no_motion():
    async def scene():
        outbox = ClientOutbox(asyncio.get_running_loop())
        for number in range(5):
            outbox.put_frame(shot(number))
            outbox.put_message({"said": number})
        outbox.put_frame(shot(9, camera=2))
        return [await outbox.drain(), await outbox.drain()]

    first, second = asyncio.run(scene())
    assert [json.loads(word)["said"] for word in first[:5]] == list(range(5))
    (header, rest), (other, _) = map(unpacked, first[5:])
    assert header["t_s"] == 3
    assert [point[0] for point in header["points"]] == [0, 1, 2, 3]
    assert header["mesh"] == 0
    assert rest == b"jpeg"
    assert other["camera"] == 2
    (last, _), *more = map(unpacked, second)
    assert last["t_s"] == 4
    assert not more
