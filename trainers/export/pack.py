"""Other networks as bundles that run live: an ONNX model of any tool, or a baseline trained here."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from merau.calib.probability import fit_temperature
from merau.engine import bundle, heads
from merau.engine.clip import PAIR, ClipSpec
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.flow import METHODS
from merau.engine.preprocess import GRID, UNKNOWN_MAGNITUDE, input_spec
from merau.engine.runtimes.onnx import OUTPUTS, OnnxTrunk
from merau.trainers.baselines.network import Baseline
from merau.trainers.data.flow_set import SIDE_PX
from merau.trainers.export.bundle import save_without_notes

SIDES = (SIDE_PX, GRID)  # of the flow that a packed model may take
THRESHOLD = 0.5  # confidence below which an answer is uncertain


INPUTS = ("flow", "pair", "clip")


def pack(model: Path, folder: Path, classes: Sequence[str], aus: Sequence[str] = (), sees: str = "flow") -> None:
    """Write the bundle of an ONNX model to `folder`.

    The model has one input. "flow" is (N, 2, S, S), u and v of a pair's flow, with S of 28 or 32: each axis less its
    median and divided by its standard deviation, as flow sets are read. "pair" is (N, 2, S, S), onset and apex as grey
    0..1; "clip" is (N, T, S, S), grey frames from onset to apex. Its first output are logits of the classes (N, C), its
    second, where there are Action Units, their logits (N, A).

    Args:
        model: The file.
        folder: Where to write; it must be empty or new.
        classes: Names of the C classes.
        aus: Numbers of the A Action Units.
        sees: What it takes, one of INPUTS.

    Raises:
        UserError: The model cannot be read, or has other inputs or outputs.
    """
    try:
        read = onnx.load(model)
        onnx.checker.check_model(read)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise UserError(f"{model} is no ONNX model that can be read: {str(error).splitlines()[0]}.") from error
    check_empty(folder)
    clip = None if sees == "flow" else clip_spec(read, sees)
    wrapped = wrap(read, len(aus), clip)
    identity = np.eye(len(classes), dtype=np.float32)
    head = heads.Linear(tuple(classes), identity, np.zeros(len(classes), np.float32))
    write(wrapped, folder, head, aus, {"packed_from": model.name}, temperature=1.0, clip=clip)


def check_empty(folder: Path) -> None:
    """Raise UserError where `folder` holds files already, which would be lost."""
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: choose a new folder for --out.")


def only_input(model: onnx.ModelProto) -> tuple[str, list[int], str]:
    """Return name, shape and description of the model's input; the shape is [] where it has none or several."""
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    shapes = [[axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in inputs]
    described = [f"{v.name} {[n or 'N' for n in shape]}" for v, shape in zip(inputs, shapes, strict=True)]
    name, shape = (inputs[0].name, shapes[0]) if len(inputs) == 1 else ("", [])
    return name, shape, "; ".join(described) or "nothing"


def clip_spec(model: onnx.ModelProto, sees: str) -> ClipSpec:
    """Return what a model of frames takes. Raises UserError where it is no pair or clip of square frames."""
    _, shape, described = only_input(model)
    frames, size = (shape[1], shape[2]) if len(shape) == 4 else (0, 0)
    fits = frames >= PAIR and size > 0 and shape[2:] == [size, size] and (sees == "clip" or frames == PAIR)
    if not fits:
        expected = "(N, 2, S, S)" if sees == "pair" else "(N, T, S, S)"
        raise UserError(f"The model takes {described}: expected one input {expected}, all but N fixed.")
    return ClipSpec(frames, size)


def wrap(model: onnx.ModelProto, aus: int, clip: ClipSpec | None = None) -> onnx.ModelProto:
    """Return `model` with the inputs and outputs of a trunk. Raises UserError where it has others."""
    graph, (name, shape, described) = model.graph, only_input(model)
    if not clip and shape[1:] not in ([2, side, side] for side in SIDES):
        raise UserError(f"The model takes {described}: expected one input (N, 2, 32, 32) or (N, 2, 28, 28).")
    if len(graph.output) < 1 + bool(aus):
        raise UserError("The model has one output: for Action Units it needs their logits as a second one.")
    logits, units = graph.output[0].name, graph.output[-1].name
    if clip:
        before = [helper.make_node("Identity", ["clip"], [name])]
    elif shape[2] == GRID:
        before = [helper.make_node("Identity", ["flow"], [name])]
    else:
        before = [
            helper.make_node("Shape", ["flow"], ["merau_shape"], end=2),
            helper.make_node("Concat", ["merau_shape", "merau_size"], ["merau_sizes"], axis=0),
            helper.make_node("Resize", ["flow", "", "", "merau_sizes"], [name], mode="linear"),
        ]
        graph.initializer.append(numpy_helper.from_array(np.array([shape[2], shape[2]], np.int64), "merau_size"))
    after = [helper.make_node("Identity", [logits], [OUTPUTS[0]])]
    if aus:
        after.append(helper.make_node("Identity", [units], [OUTPUTS[1]]))
    else:
        ends = [numpy_helper.from_array(np.array([value], np.int64), f"merau_{value}") for value in (0, 1)]
        graph.initializer.extend(ends)
        after.append(helper.make_node("Slice", [logits, "merau_0", "merau_0", "merau_1"], [OUTPUTS[1]]))
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.remove(next(value for value in graph.input if value.name == name))
    graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *value.shape[1:]])
        for name, value in example_inputs(clip, 1).items()
    )
    graph.output.extend([helper.make_tensor_value_info(out, TensorProto.FLOAT, ["N", None]) for out in OUTPUTS])
    return model


class LiveNetwork(nn.Module):
    """A baseline on flow images as a trunk: pattern (N, 2, 32, 32) and magnitude -> embedding, no Action Units."""

    def __init__(self, net: Baseline, *, sees_images: bool) -> None:
        super().__init__()
        self.net, self.sees_images = net, sees_images

    def forward(self, flow: Tensor, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding (N, d) and (N, 0)."""
        embedding, _ = self.net(pattern_images(flow) if self.sees_images else flow)
        return embedding, embedding[:, :0]


def pattern_images(pattern: Tensor) -> Tensor:
    """Return u, v and strain of patterns (N, 2, 32, 32), each scaled to 0..1, (N, 3, 28, 28).

    It is what `flow_images` reads from a flow set, but for the strain: there u and v have one unit, here each its own.
    """
    small = functional.interpolate(pattern, size=(SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
    u, v = small[:, :1], small[:, 1:]
    strain = (slope(u, 3) ** 2 + slope(v, 2) ** 2 + 0.5 * (slope(u, 2) + slope(v, 3)) ** 2).sqrt()
    image = torch.cat([u, v, strain], 1)
    low, high = image.amin((2, 3), keepdim=True), image.amax((2, 3), keepdim=True)
    return (image - low) / (high - low).clamp(min=1e-6)


def slope(x: Tensor, axis: int) -> Tensor:
    """Return central differences along `axis`, as numpy.gradient."""
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
    second, one_before = x.narrow(axis, 1, 1), x.narrow(axis, x.shape[axis] - 2, 1)
    middle = (x.narrow(axis, 2, x.shape[axis] - 2) - x.narrow(axis, 0, x.shape[axis] - 2)) / 2
    return torch.cat([second - first, middle, last - one_before], axis)


def example_inputs(clip: ClipSpec | None, count: int) -> dict[str, np.ndarray]:
    """Return inputs of a trunk that show nothing, `count` samples."""
    if clip:
        return clip.inputs(list(np.zeros((count, PAIR, clip.size_px, clip.size_px), np.uint8)))
    flow, magnitude = np.zeros((count, 2, GRID, GRID)), np.full((count, 1), UNKNOWN_MAGNITUDE)
    return {"flow": flow.astype(np.float32), "magnitude": magnitude.astype(np.float32)}


def export_network(
    net: nn.Module,
    layer: nn.Linear,
    folder: Path,
    classes: Sequence[str],
    *,
    held_out: tuple[dict[str, np.ndarray], np.ndarray],
    trained_on: dict[str, Any],
    clip: ClipSpec | None = None,
) -> None:
    """Write the bundle of a trained network whose class layer is linear.

    Args:
        net: The trunk, inputs by name -> embedding (N, d) and (N, 0).
        layer: Its class layer, which `net` leaves out.
        folder: Where to write; it must be empty or new.
        classes: Names of the classes.
        held_out: Inputs and labels (N,) that were not trained on, for the temperature.
        trained_on: Description of the training, for the card.
        clip: What it takes where it sees frames.
    """
    net.eval()
    example = example_inputs(clip, 2)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "exported.onnx"
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists every optional package it did not find
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own internals
        torch.onnx.export(
            net, tuple(map(torch.from_numpy, example.values())), path, input_names=list(example),
            output_names=OUTPUTS, dynamic_shapes=[{0: batch} for _ in example], external_data=False, verbose=False,
        )  # fmt: skip
    exported = onnx.load(path)
    path.unlink()
    weight, bias = (p.detach().numpy().copy() for p in (layer.weight, layer.bias))
    head = heads.Linear(tuple(classes), weight, bias)
    inputs, label = held_out
    with torch.no_grad():
        embedding, _ = net(*map(torch.from_numpy, inputs.values()))
    temperature = fit_temperature(head.logits(embedding.numpy()), label)
    write(exported, folder, head, (), trained_on, temperature=temperature, clip=clip)


def write(
    trunk: onnx.ModelProto,
    folder: Path,
    head: heads.Head,
    aus: Sequence[str],
    trained_on: dict[str, Any],
    *,
    temperature: float,
    clip: ClipSpec | None = None,
) -> None:
    """Write trunk, head and card. The INT8 file is the FP32 trunk: `merau-lab quantize` makes a real one.

    Raises:
        UserError: The folder cannot be written, or the trunk does not run.
    """
    outputs = OnnxTrunk(trunk.SerializeToString()).embed(**example_inputs(clip, 3))
    expected = [(3, head.dimension), (3, len(aus))]
    if (found := [output.shape for output in outputs]) != expected:
        raise UserError(f"For three samples the model gives {found}: expected {expected}, as many classes and units.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in bundle.TRUNKS.values():
            save_without_notes(trunk, folder / name)
        heads.save(head, folder / bundle.HEAD)
        card = {
            "name": folder.name,
            "input": input_spec(CropSpec(), METHODS, clip=clip),
            "classes": list(head.classes),
            "aus": list(aus),
            "calibration": {"temperature": temperature, "threshold": THRESHOLD},
            "trained_on": trained_on,
            "scores": {},
        }
        bundle.save(folder, card)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}.") from error
    bundle.load(folder)
