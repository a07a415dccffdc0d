"""Cameras on a Ray cluster of two nodes on this machine; the node of one of them is killed."""

import time
from datetime import UTC, datetime

import pytest

from merau.stream.demo import CLIP
from merau.stream.ray_batch import connected
from merau.stream.service.config import ServiceConfig
from merau.stream.service.fleet import Fleet
from merau.stream.service.fleet.placement import Placement
from merau.stream.store import Store, read_events, read_sessions
from scripts.support.rtsp_server import RtspServer

ray = pytest.importorskip("ray", reason="not run: Ray is not installed")


@pytest.fixture
def cluster(monkeypatch):
    """A first node that computes nothing, and two nodes with room for one camera each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def wait_for(condition, limit_s=180.0):
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def test_camera_of_a_dead_node_goes_on_elsewhere(cluster, tmp_path):
    path, told = tmp_path / "merau.db", []
    with RtspServer(CLIP) as server, connected(cluster.address) as connection, Store(path) as store:
        camera = {"name": "Door", "source": server.url, "purpose": "a test"}
        config = ServiceConfig(store=path, cameras=[camera])
        fleet = Fleet(store, connection, told.append)
        fleet.start(config)
        try:
            wait_for(lambda: fleet.status()[0].state == "live" and told)
            first = fleet.status()[0].session
            for node in list(cluster.worker_nodes):
                if node.node_id == fleet._placement._costs["Door"][0]:
                    cluster.remove_node(node, allow_graceful=False)
            wait_for(lambda: fleet.status()[0].state == "live" and fleet.status()[0].session != first)
        finally:
            fleet.close()
        assert not fleet.failed
    before, after = read_sessions(path)
    assert (before.id, before.name, before.purpose, after.name) == (first, "Door", "a test", "Door")
    from_s, to_s = before.gaps[-1]
    assert from_s == pytest.approx(before.end_s - 1)  # what happened so late may not have been told
    assert to_s > before.end_s
    assert before.ended and after.ended
    assert {(event.session, event.event.id) for event in told} >= {
        (event.session, event.id) for event in read_events(path)
    }
    assert all(event.wall <= datetime.now(UTC) for event in told)


class Nodes:
    """A cluster as the placement sees it."""

    def __init__(self, **processors):
        self.alive = processors

    def nodes(self):
        return [{"NodeID": name, "Alive": True, "Resources": {"CPU": cpus}} for name, cpus in self.alive.items()]


def test_cameras_go_where_there_is_room_for_their_cost():
    placement = Placement(Nodes(small=2.0, large=4.0))
    assert [placement.take(name, 1.5) for name in "abcd"] == ["large", "small", "large", None]
    placement.release("b", has_failed=True)
    assert placement.take("d", 1.0) == "large"
    assert placement.take("e", 0.5) is None  # the node that failed rests
