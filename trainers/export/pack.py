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


def pack(model: Path, folder: Path, classes: Sequence[str], aus: Sequence[str] = ()) -> None:
    """Write the bundle of an ONNX model to `folder`.

    The model has one input (N, 2, S, S), u and v of a pair's flow, with S of 28 or 32: each axis less its median and
    divided by its standard deviation, as flow sets are read. Its first output are logits of the classes (N, C), its
    second, where there are Action Units, their logits (N, A).

    Args:
        model: The file.
        folder: Where to write; it must be empty or new.
        classes: Names of the C classes.
        aus: Numbers of the A Action Units.

    Raises:
        UserError: The model cannot be read, or has other inputs or outputs.
    """
    try:
        read = onnx.load(model)
        onnx.checker.check_model(read)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise UserError(f"{model} is no ONNX model that can be read: {str(error).splitlines()[0]}.") from error
    wrapped = wrap(read, len(aus))
    identity = np.eye(len(classes), dtype=np.float32)
    head = heads.Linear(tuple(classes), identity, np.zeros(len(classes), np.float32))
    write(wrapped, folder, head, aus, {"packed_from": model.name}, temperature=1.0)


def wrap(model: onnx.ModelProto, aus: int) -> onnx.ModelProto:
    """Return `model` with the inputs and outputs of a trunk. Raises UserError where it has others."""
    graph = model.graph
    given = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in given]
    shape = [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim] if inputs else []
    if len(inputs) != 1 or shape[1:] not in ([2, side, side] for side in SIDES):
        found = "; ".join(f"{v.name} {[a.dim_value or 'N' for a in v.type.tensor_type.shape.dim]}" for v in inputs)
        raise UserError(f"The model takes {found or 'nothing'}: expected one input (N, 2, 32, 32) or (N, 2, 28, 28).")
    if len(graph.output) < 1 + bool(aus):
        raise UserError("The model has one output: for Action Units it needs their logits as a second one.")
    logits, units, name = graph.output[0].name, graph.output[-1].name, inputs[0].name
    size = numpy_helper.from_array(np.array([shape[2], shape[2]], np.int64), "merau_size")
    sizes = [helper.make_node("Resize", ["flow", "", "", "merau_sizes"], [name], mode="linear")]
    before = sizes if shape[2] != GRID else [helper.make_node("Identity", ["flow"], [name])]
    after = [helper.make_node("Identity", [logits], [OUTPUTS[0]])]
    if shape[2] != GRID:
        before = [
            helper.make_node("Shape", ["flow"], ["merau_shape"], end=2),
            helper.make_node("Concat", ["merau_shape", "merau_size"], ["merau_sizes"], axis=0),
            *sizes,
        ]
        graph.initializer.append(size)
    if aus:
        after.append(helper.make_node("Identity", [units], [OUTPUTS[1]]))
    else:
        ends = [numpy_helper.from_array(np.array([value], np.int64), f"merau_{value}") for value in (0, 1)]
        graph.initializer.extend(ends)
        after.append(helper.make_node("Slice", [logits, "merau_0", "merau_0", "merau_1"], [OUTPUTS[1]]))
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.remove(inputs[0])
    graph.input.extend(
        [
            helper.make_tensor_value_info("flow", TensorProto.FLOAT, ["N", 2, GRID, GRID]),
            helper.make_tensor_value_info("magnitude", TensorProto.FLOAT, ["N", 1]),
        ]
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


def export_network(
    net: LiveNetwork,
    folder: Path,
    classes: Sequence[str],
    *,
    held_out: tuple[np.ndarray, np.ndarray],
    trained_on: dict[str, Any],
) -> None:
    """Write the bundle of a trained baseline whose class layer is linear.

    Args:
        net: The network.
        folder: Where to write; it must be empty or new.
        classes: Names of the classes.
        held_out: Patterns (N, 2, 32, 32) and labels (N,) that were not trained on, for the temperature.
        trained_on: Description of the training, for the card.
    """
    net.eval()
    example = (torch.zeros(2, 2, GRID, GRID), torch.full((2, 1), UNKNOWN_MAGNITUDE))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "exported.onnx"
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists every optional package it did not find
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own internals
        torch.onnx.export(
            net, example, path, input_names=["flow", "magnitude"], output_names=OUTPUTS,
            dynamic_shapes=[{0: batch}, {0: batch}], external_data=False, verbose=False,
        )  # fmt: skip
    exported = onnx.load(path)
    path.unlink()
    layer = net.net.classify
    if not isinstance(layer, nn.Linear):
        raise UserError("Only a network whose last layer is linear can become a bundle.")
    weight, bias = (p.detach().numpy().copy() for p in (layer.weight, layer.bias))
    head = heads.Linear(tuple(classes), weight, bias)
    pattern, label = held_out
    with torch.no_grad():
        embedding, _ = net(torch.from_numpy(pattern), torch.full((len(pattern), 1), UNKNOWN_MAGNITUDE))
    temperature = fit_temperature(head.logits(embedding.numpy()), label)
    write(exported, folder, head, (), trained_on, temperature=temperature)


def write(
    trunk: onnx.ModelProto,
    folder: Path,
    head: heads.Head,
    aus: Sequence[str],
    trained_on: dict[str, Any],
    *,
    temperature: float,
) -> None:
    """Write trunk, head and card. The INT8 file is the FP32 trunk: `merau-lab quantize` makes a real one.

    Raises:
        UserError: The folder holds files already, cannot be written, or the trunk does not run.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: choose a new folder for --out.")
    outputs = OnnxTrunk(trunk.SerializeToString()).embed(
        flow=np.zeros((3, 2, GRID, GRID), np.float32), magnitude=np.full((3, 1), UNKNOWN_MAGNITUDE, np.float32)
    )
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
            "input": input_spec(CropSpec(), METHODS),
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
