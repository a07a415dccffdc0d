import asyncio
import threading

import pytest

from merau.engine.errors import UserError
from merau.stream.events import Consent
from merau.stream.store import read_events, read_sessions
from merau.stream.ui import server_state
from merau.stream.ui.server_state import CONNECT_S, HEADS, RECONNECT_S, AdmissionQueue, ClientSession
from tests.stream.ui.test_teaching import label, put_events
from tests.stream.ui.waiting import run_async, wait_for


@pytest.fixture
def client(tmp_path):
    return ClientSession("token", tmp_path / "token", lambda folder: None)


def test_client_never_connected_expires_later_than_reconnecting(client):
    client.last_seen_s -= RECONNECT_S + 1
    assert not client.expired
    with client.connected():
        client.last_seen_s -= CONNECT_S
        assert not client.expired
    assert not client.expired
    client.last_seen_s -= RECONNECT_S + 1
    assert client.expired


def test_client_without_consent_requires_it(client):
    with pytest.raises(UserError, match="state the purpose"):
        client.require_consent()


def test_workspace_of_server_needs_trust(serve):
    state = serve(host="0.0.0.0").state
    token = state.open_session().token
    with pytest.raises(UserError, match="Log in"):
        state.workspace(token, "server")
    assert state.workspace(token, "mine") is state.client(token).workspace
    with pytest.raises(UserError, match="expired"):
        state.workspace("guessed", "mine")


def test_periodic_jobs_outlive_a_visitor_who_cannot_be_closed(serve, caplog):
    state = serve().state
    client = state.open_session()
    client.workspace.store.put_clip(1, "\udcff", b"clip")  # cannot be written
    client.last_seen_s -= CONNECT_S + 1
    wait_for(lambda: "are lost" in caplog.text, "the visitor to leave")
    other = state.open_session()
    other.last_seen_s -= CONNECT_S + 1
    wait_for(lambda: not state.clients, "the next visitor to leave")
    assert not client.folder.exists()
    assert not state.failed


def test_internal_error_of_a_camera_is_a_failure_of_the_server(serve):
    def fail():
        raise ZeroDivisionError("a fault of our own")

    state = serve().state
    state.shared.add_camera("a.mp4", fail, replay=True)
    wait_for(lambda: state.failed, "the failure")


def test_workspace_without_room_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "full").touch()
    client = ClientSession("token", tmp_path / "full" / "token", lambda folder: None)
    with pytest.raises(UserError, match="no room for another page"):
        _ = client.workspace


def leave(client):
    """Let a page go for longer than it may be away."""
    client.last_seen_s -= CONNECT_S + 1


@pytest.mark.parametrize("made", ["upload", "label", "webcam"])
def test_visitor_who_comes_back_finds_work_and_no_more(serve, make_event, made):
    state = serve(host="0.0.0.0").state
    client = state.open_session()
    consent = None if made == "upload" else Consent("a test", "2026-03-01T09:00:00.000+00:00")
    with client.connected():
        store = client.workspace.store
        session = store.start_session("clip.mp4", settings={}, bundle="", bundle_sha256="", consent=consent)
        store.put(session, make_event())
        if made == "label":
            store.label(session, make_event(), "smirk", {})
        store.flush()
    leave(client)
    wait_for(lambda: client.token not in state.clients, "the session to expire")
    wait_for(lambda: client.folder.exists() == (made != "webcam"), "the decision")
    again = state.open_session(client.token)
    assert (again.token == client.token) == (made != "webcam")
    assert again is not client
    assert len(read_sessions(again.workspace.store.path)) == (made != "webcam")


def test_work_of_an_absent_visitor_is_deleted_in_time(serve):
    state = serve(host="0.0.0.0", retention_h=1e-9).state
    client = state.open_session()
    with client.connected():
        store, retention_h = client.workspace.store, state.settings.retention_h
        session = store.start_session("a", settings={}, bundle="", bundle_sha256="", retention_h=retention_h)
        store.update_session(session, wall_zero=None, frames=1, dropped=0, gaps=[], ended=True)
        store.flush()
    leave(client)
    wait_for(lambda: client.token not in state.clients, "the session to expire")
    wait_for(lambda: state.purge() or not client.folder.exists(), "the deletion")
    assert state.open_session(client.token).token != client.token


def test_heads_of_an_absent_visitor_are_kept(serve, make_event):
    state = serve(host="0.0.0.0").state
    client = state.open_session()
    with client.connected():
        teaching = client.workspace.teaching
        ids = put_events(client.workspace, make_event, ("smirk", "frown") * 3)
        for event_id, name in zip(ids[:4], ("smirk", "frown") * 2, strict=True):
            label(client.workspace, event_id, name)
        teaching.propose()
        taught = [teaching.accept(), teaching.load_head(saved(teaching.head, state.folder))]
    leave(client)
    wait_for(lambda: (client.folder / HEADS).exists() and not state.clients, "the page to go")
    again = state.open_session(client.token).workspace.teaching
    assert [head.sha256 for head in again.heads] == [head.sha256 for head in taught]
    assert {event.label for event in read_events(again._store.path)} == {"smirk", "frown"}
    again.undo_head()
    again.undo_head()
    assert again.head is None


def test_camera_that_does_not_stop_holds_up_its_own_page_only(serve, monkeypatch):
    monkeypatch.setattr(server_state, "REJOIN_S", 0.1)
    state, goes_on = serve(host="0.0.0.0").state, threading.Event()
    client = state.open_session()
    with client.connected():
        client.workspace.cameras[1] = Hanging(goes_on)
    leave(client)
    wait_for(lambda: not state.clients, "the page to go")
    assert state.open_session().token  # at once
    with pytest.raises(UserError, match="still being closed"):
        state.open_session(client.token)
    goes_on.set()
    wait_for(lambda: not client.folder.exists(), "the camera to stop")


class Hanging:
    """A camera that does not stop until it `goes_on`."""

    is_live, failed = False, False

    def __init__(self, goes_on: threading.Event) -> None:
        self._goes_on = goes_on

    def stop(self) -> None:
        assert self._goes_on.wait(20)


def saved(head, folder):
    head.save(path := folder / "a head")
    return path


def test_page_reloaded_at_once_keeps_its_session(serve):
    state = serve().state
    client = state.open_session()
    assert state.open_session(client.token) is client
    assert state.open_session("../elsewhere").token not in (client.token, "../elsewhere")


def test_admission_queue_serves_in_order_and_refuses_when_full():
    async def scene():
        queue, positions = AdmissionQueue(1, 1), []
        queue.POLL_S = 0.01

        async def notify(ahead):
            positions.append(ahead)

        first = await queue.enter(notify)
        second = asyncio.create_task(queue.enter(notify))
        await asyncio.sleep(0.05)
        with pytest.raises(UserError, match=r"1 webcams are being analysed and 1 people are waiting"):
            await queue.enter(notify)
        queue.release(first)
        queue.release(first)
        await asyncio.wait_for(second, 1)
        return positions

    assert set(run_async(scene())) == {0}


def test_admission_queue_cancelled_entry_gives_up_its_place():
    async def scene():
        queue = AdmissionQueue(1, 1)
        await queue.enter(ignore)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.enter(ignore), 0.05)
        waiting = asyncio.create_task(queue.enter(ignore))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        waiting.cancel()

    async def ignore(_):
        pass

    run_async(scene())
