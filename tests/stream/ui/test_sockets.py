import json
import weakref

import pytest
from websockets.exceptions import ConnectionClosed

from merau.stream.ui.outbox import MAX_MESSAGES
from merau.stream.ui.sockets import CLOSE_ENDED, CLOSE_TOO_SLOW, PACKET_HEADER
from tests.stream.ui.connections import consenting_client, open_socket, receive, start_webcam
from tests.stream.ui.waiting import wait_for


def test_live_two_pages_see_one_camera(showing):
    with (
        open_socket(showing, "live", token=showing.state.open_session().token) as one,
        open_socket(showing, "live", token=showing.state.open_session().token) as other,
    ):
        for live in (one, other):
            wait_for(lambda live=live: isinstance(live.recv(timeout=20), bytes), "a frame")


def test_live_page_that_does_not_read_is_disconnected(serve):
    app = serve()
    token = app.state.open_session().token
    with open_socket(app, "live", token=token, max_queue=1) as live:
        assert "cameras" in receive(live)
        for number in range(20 * MAX_MESSAGES):
            app.state.shared.broadcast.send_message({"number": number, "filler": 10_000 * "x"})
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                live.recv(timeout=20)
    assert closed.value.rcvd is None or closed.value.rcvd.code == CLOSE_TOO_SLOW
    with open_socket(app, "live", token=token) as live:
        assert "cameras" in receive(live)  # the present state


def test_webcam_without_consent_is_not_analysed(serve):
    app = serve()
    with start_webcam(app, app.state.open_session().token) as webcam:
        assert "state the purpose" in receive(webcam)["error"]["id"]


@pytest.mark.parametrize("greeting", [["no greeting"], {"zero_ms": 1e25}, {"zero_ms": float("nan")}, 2_100_000 * "x"])
def test_webcam_malformed_greeting_closes_the_socket(serve, greeting, caplog):
    app = serve()
    with open_socket(app, "webcam", token=consenting_client(app.state)) as webcam, pytest.raises(ConnectionClosed):
        webcam.send(json.dumps(greeting))
        webcam.recv(timeout=20)
    assert not any(record.exc_info for record in caplog.records)


def test_live_message_that_is_too_large_closes_the_socket(serve, caplog):
    app = serve()
    with open_socket(app, "live", token=app.state.open_session().token) as live, pytest.raises(ConnectionClosed):
        live.send(2_100_000 * "x")
        while True:
            live.recv(timeout=20)
    wait_for(lambda: not any(client.connections for client in app.state.clients.values()), "the end of the socket")
    assert not any(record.exc_info for record in caplog.records)


def test_webcam_without_slot_waits_and_full_queue_refuses(serve):
    app = serve(visitors=1, waiting=1)
    first, second = start_webcam(app, consenting_client(app.state)), None
    try:
        assert "go" in receive(first)
        second = start_webcam(app, consenting_client(app.state))
        assert receive(second) == {"before": 0}
        for _ in range(10):
            with start_webcam(app, consenting_client(app.state)) as late:
                assert "The server is full" in receive(late)["error"]["id"]
        first.close()
        wait_for(lambda: "go" in receive(second), "the slot that came free")
    finally:
        first.close()
        if second:
            second.close()


@pytest.mark.parametrize("data", [b"\x07" + bytes(20), "text"])
def test_webcam_data_that_is_no_frame_ends_the_analysis(serve, data):
    app = serve()
    with start_webcam(app, consenting_client(app.state)) as webcam:
        assert "go" in receive(webcam)
        webcam.send(data)
        assert "not an image" in receive(webcam)["error"]["id"]
        with pytest.raises(ConnectionClosed):
            webcam.recv(timeout=20)


def test_page_that_sends_too_much_is_disconnected(serve):
    app = serve()
    token = consenting_client(app.state)
    with open_socket(app, "live", token=token) as live, pytest.raises(ConnectionClosed) as closed:
        while True:
            live.send("{}")
    assert closed.value.rcvd.code == CLOSE_ENDED
    with start_webcam(app, token) as webcam:
        assert "go" in receive(webcam)
        packet = PACKET_HEADER.pack(0, 0.0) + b"no picture"  # decoded at once
        with pytest.raises(ConnectionClosed):
            while True:
                webcam.send(packet)
        assert "error" in receive(webcam)


def test_disconnected_client_is_freed_within_ten_seconds(serve):
    app = serve()
    token = consenting_client(app.state)
    with open_socket(app, "live", token=token), start_webcam(app, token) as webcam:
        assert "go" in receive(webcam)
        client = app.state.client(token)
        (camera,) = client.workspace.cameras.values()
        held = [weakref.ref(thing) for thing in (client, client.workspace, camera, camera.context.recognizer)]
        folder = client.folder
        assert folder.exists()
        del client, camera
    wait_for(lambda: not any(thing() for thing in held), "the client to be freed", deadline_s=10)
    assert not folder.exists()
