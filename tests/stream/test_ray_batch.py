"""A batch on a Ray cluster of three nodes on this machine; one of them is killed at work."""

import csv
from functools import partial

import pytest

from merau.engine.errors import UserError
from merau.engine.recognizer import Recognizer
from merau.stream.analysis import Analysis
from merau.stream.batch import Analyser, Skipped, analyse_in_turn
from merau.stream.output_folder import OutputFolder
from merau.stream.pipeline import PipelineSettings
from merau.stream.ray_batch import Job, analyse_on_ray
from merau.stream.recordings import find_recordings
from merau.stream.sources import SourceSettings
from tests.clips import encode_demo_start
from tests.stream.test_batch import stored

ray = pytest.importorskip("ray", reason="not run: Ray is not installed")

load = partial(Recognizer.load, device="cpu")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Four recordings, one of them a copy, and a file that is no video."""
    folder = tmp_path_factory.mktemp("interviews")
    for number in range(3):
        encode_demo_start(folder / f"P{number}.mp4", 2.2 + 0.1 * number)
    (folder / "P3.mp4").write_bytes((folder / "P0.mp4").read_bytes())
    (folder / "P4.mp4").write_bytes(b"no film")
    return find_recordings([str(folder)])


@pytest.fixture
def cluster(monkeypatch):
    """A first node that computes nothing, and two that analyse one recording at a time each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def exports(folder):
    """The rows of every CSV, but for the number of the session, which the order of the batch decides."""
    rows = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as file:
            rows[path.name] = [row | {"session": ""} for row in csv.DictReader(file)]
    return rows


def without_session(content):
    *facts, events = content
    return facts, [event | {"session": None} for event in events]


def test_batch_on_nodes_that_die_equals_the_local_one(recordings, cluster, tmp_path):
    recognizer = load()
    job = Job(load, PipelineSettings(), SourceSettings(), keep_pictures=False, pictures=True)
    with OutputFolder(tmp_path / "here", tmp_path / "here.db") as output:
        analyser = Analyser(output, recognizer, job.settings, job.source_settings, pictures=True)
        for recording, outcome in analyse_in_turn(recordings, analyser, lambda *_: None):
            if isinstance(outcome, Analysis):
                output.write(outcome, recognizer.bundle, name=recording.name)
    outcomes = {}
    with OutputFolder(tmp_path / "there", tmp_path / "there.db") as output:
        for recording, outcome in analyse_on_ray(recordings, cluster.address, job, output, recognizer):
            outcomes[recording.name] = outcome
            if isinstance(outcome, Analysis):
                output.write(outcome, recognizer.bundle, name=recording.name)
            if len(outcomes) == 1:  # the others are at work
                for node in list(cluster.worker_nodes):
                    cluster.remove_node(node, allow_graceful=False)
                cluster.add_node(num_cpus=1)
        again = list(analyse_on_ray(recordings, cluster.address, job, output, recognizer))
    assert isinstance(outcomes["P1"], Analysis) and isinstance(outcomes["P2"], Analysis)
    assert isinstance(outcomes["P4"], UserError)
    assert sum(isinstance(outcome, Skipped) for outcome in outcomes.values()) == 1  # of P0 and its copy
    assert sum(isinstance(outcome, Skipped) for _, outcome in again) == 4
    here, there = stored(tmp_path / "here.db"), stored(tmp_path / "there.db")
    assert len(here) == 3
    assert {name: without_session(content) for name, content in here.items()} == {
        name: without_session(content) for name, content in there.items()
    }
    assert exports(tmp_path / "here") == exports(tmp_path / "there")


def test_cluster_that_is_not_there_is_named(recordings, tmp_path):
    job = Job(load, PipelineSettings(), SourceSettings(), keep_pictures=False, pictures=False)
    with (
        OutputFolder(None, tmp_path / "merau.db") as output,
        pytest.raises(UserError, match="There is no Ray cluster at 'auto'"),
    ):
        list(analyse_on_ray(recordings, "auto", job, output, load()))
