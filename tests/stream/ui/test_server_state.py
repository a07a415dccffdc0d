import asyncio

import pytest

from merau.engine.errors import UserError
from merau.stream.ui.server_state import CONNECT_S, RECONNECT_S, AdmissionQueue, ClientSession
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
