"""What Prometheus scrapes. No label names a person: only cameras, kinds, receivers, reasons and states."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, get_args

from merau.stream.events import Kind
from merau.stream.service.alerts.alarms import ReceiverStatus
from merau.stream.service.events import CameraState, CameraStatus
from merau.stream.service.health import Health

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Snapshot:
    """What is measured at one moment.

    Attributes:
        cameras: State of each camera.
        receivers: State of each receiver of alarms.
        events: Final events since the start, by camera and kind.
        health: What is wrong.
        store_bytes: Size of the store on disk.
    """

    cameras: Sequence[CameraStatus]
    receivers: Sequence[ReceiverStatus]
    events: dict[tuple[str, Kind], int]
    health: Health
    store_bytes: int


class Metrics:
    """Renders a snapshot at each scrape, with the figures of the process and of Python."""

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

        self._take = take
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def collect(self) -> "Iterator[Metric]":
        """Yield the metrics of a new snapshot."""
        snapshot = self._take()
        yield from _of_service(snapshot)
        yield from _of_cameras(snapshot.cameras)
        yield from _of_receivers(snapshot.receivers)


def _of_service(snapshot: Snapshot) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    yield InfoMetricFamily("merau_build", "The version that runs.", {"version": version("merau-live")})
    health = snapshot.health
    yield GaugeMetricFamily("merau_alive", "1 where the service works, as /healthz says.", value=health.is_alive)
    yield GaugeMetricFamily("merau_ready", "1 where every camera is seen, too, as /readyz says.", value=health.is_ready)
    yield GaugeMetricFamily("merau_store_bytes", "Size of the store on disk.", value=snapshot.store_bytes)
    events = CounterMetricFamily("merau_events", "Final events since the start.", labels=["camera", "kind"])
    for labels, count in snapshot.events.items():
        events.add_metric(labels, count)
    yield events


def _of_cameras(cameras: Sequence[CameraStatus]) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    state = GaugeMetricFamily("merau_camera_state", "1 for the state of a camera.", labels=["camera", "state"])
    captured = GaugeMetricFamily("merau_camera_captured_hertz", "Frames that a camera gives.", labels=["camera"])
    analysed = GaugeMetricFamily("merau_camera_analysed_hertz", "Frames that are analysed.", labels=["camera"])
    dropped = CounterMetricFamily(
        "merau_camera_dropped_frames", "Frames of this session that were dropped.", labels=["camera"]
    )
    for camera in cameras:
        for name in get_args(CameraState):
            state.add_metric([camera.name, name], camera.state == name)
        captured.add_metric([camera.name], camera.fps)
        analysed.add_metric([camera.name], camera.analysed_fps)
        dropped.add_metric([camera.name], camera.dropped)
    yield from (state, captured, analysed, dropped)


def _of_receivers(receivers: Sequence[ReceiverStatus]) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    waiting = GaugeMetricFamily("merau_alarms_waiting", "Alarms that wait for delivery.", labels=["receiver"])
    dead = GaugeMetricFamily("merau_alarms_dead", "Alarms that were set aside.", labels=["receiver"])
    delivered = CounterMetricFamily("merau_alarms_delivered", "Alarms that the receiver took.", labels=["receiver"])
    failures = CounterMetricFamily("merau_alarm_failures", "Tries that failed.", labels=["receiver"])
    withheld = CounterMetricFamily(
        "merau_alarms_withheld", "Events that matched and became no alarms.", labels=["receiver", "reason"]
    )
    for receiver in receivers:
        waiting.add_metric([receiver.name], receiver.waiting)
        dead.add_metric([receiver.name], receiver.dead)
        delivered.add_metric([receiver.name], receiver.delivered)
        failures.add_metric([receiver.name], receiver.failures)
        for reason, count in receiver.withheld.items():
            withheld.add_metric([receiver.name, reason], count)
    yield from (waiting, dead, delivered, failures, withheld)
