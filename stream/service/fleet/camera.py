"""One camera of a fleet: placed on a node, followed, and moved when the node dies."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from merau.stream.events import Event
from merau.stream.guard import Guard
from merau.stream.ray_batch import GPU_SHARE
from merau.stream.service.config import CameraConfig
from merau.stream.service.events import CameraEvent, CameraState, CameraStatus
from merau.stream.service.fleet.node import CameraJob, CameraOnNode, Pulled
from merau.stream.service.fleet.placement import Placement
from merau.stream.store import Store
from merau.stream.store.recorder import Write

LOG = logging.getLogger(__name__)
PULL_EVERY_S = 0.5
PULL_LIMIT_S = 3.0  # a node that answers later is taken for dead
START_LIMIT_S = 60.0  # a node that has to load everything first may take so long
STOP_LIMIT_S = 30.0
RETRY_S = 2.0  # before an analysis that ended is begun anew, or room is looked for again
# What happened so shortly before the last pull may not have been told: an event is told after its offset.
UNTOLD_S = 1.0


@dataclass
class _Progress:
    """How far a stored session has come.

    Attributes:
        session: Its number.
        fields: Of the store's `update_session`.
        end_s: Time of the newest frame that was told of.
        told_s: When it was told, on the monotonic clock.
    """

    session: int
    fields: dict[str, Any] = field(default_factory=dict)
    end_s: float = 0.0
    told_s: float = field(default_factory=time.monotonic)


class FleetCamera:
    """Keeps one camera analysed on some node, from `start` until `stop`.

    Args:
        config: The camera.
        job: What a node needs.
        store: Where its sessions go; only this process writes to it.
        ray: The module, connected to a cluster.
        placement: Chooses nodes.
        on_event: Is told each report of an event, once it was put into the store.
        clock: Tells the time that the schedule goes by.
    """

    def __init__(
        self,
        config: CameraConfig,
        job: CameraJob,
        store: Store,
        ray: Any,
        placement: Placement,
        on_event: Callable[[CameraEvent], None],
        clock: Callable[[], datetime],
    ) -> None:
        self.config = config
        self._job, self._store, self._ray, self._placement = job, store, ray, placement
        self._on_event, self._clock = on_event, clock
        self._guard = Guard(config.name)
        self._stopped = threading.Event()
        self._state: tuple[CameraState, str, datetime] = ("connecting", "", datetime.now(UTC))
        self._progress: _Progress | None = None
        self._lost: _Progress | None = None  # a session whose node died
        self._fps, self._frames = 0.0, 0
        self._thread = threading.Thread(target=self._run, name=f"fleet {config.name}", daemon=True)

    @property
    def failed(self) -> bool:
        """Whether an internal error cost something."""
        return self._guard.failed

    @property
    def is_alive(self) -> bool:
        """Whether the camera is looked after, or a recording that is over."""
        return self._thread.is_alive() or self._state[0] == "ended"

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the analysis and store the rest."""
        self._stopped.set()
        self._thread.join(STOP_LIMIT_S + PULL_LIMIT_S)

    def status(self) -> CameraStatus:
        """Return the state of the camera."""
        state, error, since = self._state
        progress = self._progress
        return CameraStatus(
            name=self.config.name,
            group=self.config.group,
            state=state,
            since=since,
            error=error,
            session=progress.session if progress else None,
            fps=self._fps if state == "live" else 0.0,
            analysed_fps=self._fps if state == "live" else 0.0,
            dropped=int(progress.fields.get("dropped", 0)) if progress else 0,
        )

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._guard.item():
                self._follow()
            if self._state[0] == "ended" and self.config.is_recording:
                break
            self._stopped.wait(RETRY_S if self._state[0] != "lost" else 0)
        self._close_lost()

    def _follow(self) -> None:
        """Analyse the camera on one node until that ends."""
        if not self.config.is_on(self._clock()):
            self._enter("off")
            return
        if (node := self._placement.take(self.config.name, self.config.cost)) is None:
            self._enter("lost" if self._lost else "connecting", "No node of the cluster has room for it.")
            self._stopped.wait(RETRY_S)
            return
        actor = self._actor_on(node)
        has_failed = False
        try:
            self._pull_until_over(actor)
        except self._ray.exceptions.RayError as error:
            LOG.debug("%s: %s", self.config.name, error)
            has_failed = True
            self._lost, self._progress = self._progress or self._lost, None
            self._enter("lost", "Its node does not answer: it is moved to another one.")
        finally:
            self._placement.release(self.config.name, has_failed=has_failed)
            self._ray.kill(actor)

    def _actor_on(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        share = GPU_SHARE if self.config.device == "cuda" else 0
        options = {"num_cpus": self.config.cost, "num_gpus": share, "scheduling_strategy": strategy}
        return self._ray.remote(**options)(CameraOnNode).remote(self._job)

    def _pull_until_over(self, actor: Any) -> None:
        self._progress, self._frames = None, 0
        limit_s, is_over = START_LIMIT_S, False
        while not is_over:
            if self._stopped.is_set() or not self.config.is_on(self._clock()):
                self._ray.get(actor.stop.remote(), timeout=STOP_LIMIT_S)
            pulled: Pulled = self._ray.get(actor.pull.remote(), timeout=limit_s)
            limit_s, is_over = PULL_LIMIT_S, pulled.is_over
            self._take(pulled)
            if not is_over:
                self._stopped.wait(PULL_EVERY_S)
        self._enter("failed" if pulled.error else "ended", pulled.error)

    def _take(self, pulled: Pulled) -> None:
        """Store what a node told, and tell its events."""
        for write in pulled.writes:
            self._store_write(write)
        progress, state = self._progress, pulled.state
        if not (progress and state):
            return
        now_s = time.monotonic()
        self._fps = round((state.frames - self._frames) / max(now_s - progress.told_s, 1e-3), 1)
        self._frames, progress.told_s, progress.end_s = state.frames, now_s, pulled.end_s
        progress.fields = {
            "wall_zero": pulled.wall_zero,
            "frames": state.frames,
            "dropped": state.dropped,
            "gaps": state.gaps,
        }
        if state.phase == "live" and state.frames:
            self._close_lost()
        if not pulled.is_over:
            phases: dict[str, CameraState] = {"live": "live", "lost": "lost"}
            self._enter(phases.get(state.phase, "connecting"), str(state.reason or ""))

    def _store_write(self, write: Write) -> None:
        if write.method == "start_session":
            session = self._store.start_session(write.argument, **write.fields)
            self._store.rename_session(session, self.config.name)
            self._progress = _Progress(session)
            return
        assert self._progress is not None
        write.repeat(self._store, self._progress.session)
        if isinstance(event := write.argument, Event):
            wall = datetime.fromisoformat(event.onset_wall) if event.onset_wall else datetime.now(UTC)
            told = CameraEvent(self.config.name, self.config.group, self._progress.session, event, wall)
            self._on_event(told)

    def _close_lost(self) -> None:
        """End the session of a node that died, with the time from then until now as a gap."""
        if (lost := self._lost) is None:
            return
        self._lost = None
        outage_s = time.monotonic() - lost.told_s
        gap = (max(lost.end_s - UNTOLD_S, 0.0), lost.end_s + outage_s)
        fields = {"wall_zero": None, "frames": 0, "dropped": 0, "gaps": ()} | lost.fields
        gaps = (*fields.pop("gaps"), gap)
        self._store.update_session(lost.session, **fields, gaps=gaps, ended=True, partial=False, end_s=lost.end_s)
        name = self.config.name
        LOG.warning("%s: nothing was analysed for %.1f s.", name, outage_s, extra={"camera": name})

    def _enter(self, state: CameraState, error: str = "") -> None:
        if (state, error) != self._state[:2]:
            self._state = state, error, datetime.now(UTC)
            level = logging.WARNING if state in ("lost", "failed") else logging.INFO
            text = ": ".join(part for part in (self.config.name, state, error) if part)
            LOG.log(level, "%s", text, extra={"camera": self.config.name})
