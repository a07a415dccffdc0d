"""A network of another paper as a bundle that runs live: trained on drawn flow, or on prepared sets."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from merau.engine.errors import UserError
from merau.engine.preprocess import UNKNOWN_MAGNITUDE
from merau.trainers.baselines import au_graph, dual_inception, liu, off_apexnet, rcn, ststnet
from merau.trainers.baselines.network import Baseline, Network, Training
from merau.trainers.data import flow_set
from merau.trainers.data.flow_set import CLASSES
from merau.trainers.data.synth.set_fields import SetSettings, draw_set
from merau.trainers.evaluate.task import Task, make_task
from merau.trainers.export.pack import LiveNetwork, check_empty, export_network, pattern_images
from merau.trainers.learn.curves import open_curves
from merau.trainers.learn.frame_network import FRAME_NETWORKS, Material, Watch, frame_inputs, train_on_frames

NETWORKS: dict[str, tuple[type[Baseline], bool]] = {  # and whether it sees images rather than the pattern
    "off-apexnet": (off_apexnet.OffApexNet, True),
    "ststnet": (ststnet.StstNet, True),
    "dual-inception": (dual_inception.DualInception, True),
    "rcn": (rcn.Rcn, True),
    "au-graph": (au_graph.AuGraph, True),
    "liu": (liu.Liu, False),
}
SAMPLES = 12_000  # drawn, where no set is given
KEPT_BACK = 5  # every fifth sample, of subjects of their own in a set, gives the temperature
TRAINING = Training(epochs=12, batch=64, rate=2e-3)


def train_bundle(
    name: str, out: Path, *, indices: tuple[Path, ...] = (), macro: tuple[Path, ...] = (), seed: int = 0
) -> None:
    """Train the network `name` on the flow sets `indices` and write its bundle.

    Networks that see flow can do without a set: they learn from drawn flow. Some learn from sets of
    macro-expressions, `macro`, as well.

    Raises:
        UserError: There is no such network, the sets lack a class or frames, or `out` is not empty.
    """
    if name not in (*NETWORKS, *FRAME_NETWORKS):
        raise UserError(f"There is no network {name!r}: choose one of {', '.join((*NETWORKS, *FRAME_NETWORKS))}.")
    if name in FRAME_NETWORKS and not indices:
        raise UserError(f"{name} learns from frames: give --data SET/index.csv, such as `merau-lab synth set` makes.")
    check_empty(out)
    torch.set_num_threads(1)
    task = make_task(flow_set.read(*indices)) if indices else draw_task(seed)
    kept_back = task.data.person % KEPT_BACK == 0
    rows, kept = np.flatnonzero(~kept_back), np.flatnonzero(kept_back)
    material = Material(task, rows, kept, flow_set.read(*macro) if macro else None, seed, draw_losses(out))
    if name in FRAME_NETWORKS:
        trunk, layer = train_on_frames(name, material)
        inputs, clip = frame_inputs(name, task.data.take(kept)), FRAME_NETWORKS[name].clip
    else:
        trunk, layer = train_on_flow(name, material)
        unknown = np.full((len(kept), 1), UNKNOWN_MAGNITUDE, np.float32)
        inputs, clip = {"flow": task.flow[kept], "magnitude": unknown}, None
    export_network(
        trunk,
        layer,
        out,
        task.classes,
        held_out=(inputs, task.label[kept]),
        trained_on={"network": name, "flows": [str(i) for i in indices] or "drawn", "samples": len(rows), "seed": seed},
        clip=clip,
    )


def draw_losses(out: Path) -> Watch | None:
    """Return what draws the losses of a network as curves in the folder `out`; None without TensorBoard."""
    draw = open_curves(out)
    if not draw:
        return None

    def watch(epoch: int, trained: float, kept: float) -> None:
        draw("train", trained, epoch)
        draw("validation", kept, epoch)

    return watch


def train_on_flow(name: str, material: Material) -> tuple[LiveNetwork, nn.Linear]:
    """Return trunk and class layer of the network `name`, trained on the flow of `material`."""
    build, sees_images = NETWORKS[name]
    inputs = torch.from_numpy(material.task.flow)
    seen = pattern_images(inputs) if sees_images else inputs
    net, layer = material.fit(Network(material.task, seen, build, training=TRAINING))
    return LiveNetwork(net, sees_images=sees_images), layer


def draw_task(seed: int) -> Task:
    """Return drawn flow sets as a task: the three classes, each face a subject."""
    drawn = draw_set(seed, SAMPLES, SetSettings(free=0))
    count = len(drawn.label)
    subject = np.array([str(i // SetSettings().samples_per_face) for i in range(count)])
    empty = np.full(count, "")
    images = np.zeros((count, 1, 1, 3), np.uint8)  # the pattern is all that a live network sees
    data = flow_set.FlowSet(
        np.full(count, "synthetic"), subject, np.arange(count).astype(str), drawn.label, images, empty, empty, empty,
        empty, np.full(count, np.nan),
    )  # fmt: skip
    return Task(data, drawn.label, CLASSES, drawn.flow, data.take(np.zeros(count, bool)))
