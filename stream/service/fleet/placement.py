"""Which node of a cluster analyses which camera."""

import threading
import time
from typing import Any

AVOID_S = 30.0  # a node that failed is left alone for so long: a cluster notices late that a node is dead


class Placement:
    """Gives each camera the node that is loaded least, as far as the declared costs tell. May be used by any thread.

    Args:
        ray: The module, connected to a cluster.
    """

    def __init__(self, ray: Any) -> None:
        self._ray, self._lock = ray, threading.Lock()
        self._costs: dict[str, tuple[str, float]] = {}  # node and cost of each camera
        self._avoided_s: dict[str, float] = {}

    def take(self, camera: str, cost: float) -> str | None:
        """Return the id of the node for a camera; None where no node has room for it."""
        with self._lock:
            loads = {node: (self._load(node) + cost) / processors for node, processors in self._nodes().items()}
            node = min(loads, key=lambda node: loads[node], default=None)
            if node is None or loads[node] > 1:
                return None
            self._costs[camera] = node, cost
            return node

    def release(self, camera: str, *, has_failed: bool) -> None:
        """Free the room of a camera; a node that failed gets none for a while."""
        with self._lock:
            node, _ = self._costs.pop(camera)
            if has_failed:
                self._avoided_s[node] = time.monotonic() + AVOID_S

    def _nodes(self) -> dict[str, float]:
        """Return the processors of each node that may be used."""
        now_s = time.monotonic()
        return {
            node["NodeID"]: node["Resources"]["CPU"]
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU") and self._avoided_s.get(node["NodeID"], 0.0) < now_s
        }

    def _load(self, node: str) -> float:
        return sum(cost for where, cost in self._costs.values() if where == node)
