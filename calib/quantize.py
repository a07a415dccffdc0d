"""Quantize a trunk: FP32 ONNX to INT8 or FP8 ONNX with Q/DQ pairs and calibrated ranges, under an accuracy gate.

Scales are symmetric, per output channel for weights and per tensor for activations; biases stay FP32. TensorRT and
ONNX Runtime both take this form. Needs the package `onnx` (extra `train`), which is not needed to run a trunk.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import helper, numpy_helper

from merau.engine.errors import UserError
from merau.engine.runtimes.batching import TrunkOutput
from merau.engine.runtimes.onnx import OnnxTrunk, create_session
from merau.engine.validation import check_range

METHODS = ("minmax", "entropy", "percentile", "mse")
OPERATORS = ("Conv", "Gemm", "MatMul")  # with constant weights
LARGEST = {"int8": 127.0, "fp8": 448.0}  # largest number of each format; FP8 is E4M3
BINS = 2048
PERCENTILE = 99.99

Inputs = dict[str, np.ndarray]  # a batch, float32 arrays by input name
Score = Callable[[np.ndarray, np.ndarray], dict[str, float]]  # of embeddings (N, d) and Action Unit logits (N, A)


@dataclass(frozen=True)
class QuantizationError:
    """How a trunk's outputs change by quantization.

    Attributes:
        cosine: Mean cosine of the embeddings before and after.
        error: See `relative_error`.
        scores: Each score before and after.
    """

    cosine: float
    error: float
    scores: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class AccuracyGate:
    """Accuracy that a quantized trunk must keep.

    Attributes:
        min_cosine: Least mean cosine of its embeddings with those of FP32.
        max_drop: Largest drop of a score (0..1), such as UF1 or the AUC of the Action Units.
    """

    min_cosine: float = 0.98
    max_drop: float = 0.005

    def __post_init__(self) -> None:
        check_range(self, "min_cosine", "max_drop", low=0, high=1)

    def passes(self, cost: QuantizationError) -> bool:
        """Whether the change `cost` is within the limits."""
        kept = all(after >= before - self.max_drop for before, after in cost.scores.values())
        return kept and cost.cosine >= self.min_cosine


@dataclass(frozen=True)
class Layer:
    """A layer of a trunk.

    Attributes:
        name: Its name in the graph.
        error: The `relative_error` if this layer alone is quantized.
        kept: Whether it stays FP32 because it is too sensitive.
    """

    name: str
    error: float
    kept: bool = False


@dataclass(frozen=True)
class Report:
    """Result of a quantization, measured on held-out inputs.

    Attributes:
        precision: "int8" or "fp8".
        method: How ranges were calibrated.
        layers: Each layer alone.
        cost: The whole trunk.
    """

    precision: str
    method: str
    layers: tuple[Layer, ...]
    cost: QuantizationError

    @property
    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        return asdict(self)


def quantize(
    fp32: Path,
    quantized: Path,
    inputs: Sequence[Inputs],
    *,
    method: str = "minmax",
    precision: str = "int8",
    held_out: Inputs | None = None,
    score: Score | None = None,
    limits: AccuracyGate | None = None,
) -> Report:
    """Quantize a trunk and write it to `quantized`.

    Each layer is first quantized alone; the most sensitive layers stay FP32 until the trunk passes the gate.

    Args:
        fp32: The trunk, an ONNX file.
        quantized: The file to write.
        inputs: Batches from which ranges are calibrated.
        method: "minmax", "entropy", "percentile" or "mse"; see `calibrate_ranges`.
        precision: "int8" or "fp8".
        held_out: Batch on which accuracy is measured. Default: the last of `inputs`.
        score: Rates outputs for `held_out`; higher is better.
        limits: The gate.

    Raises:
        UserError: The gate cannot be passed, or method or precision are unknown.
    """
    if precision not in LARGEST:
        raise UserError(f"Precision is {precision!r}: choose one of {', '.join(LARGEST)}.")
    if method not in METHODS:
        raise UserError(f"Calibration method is {method!r}: choose one of {', '.join(METHODS)}.")
    model, held_out, limits = onnx.load(fp32), held_out or inputs[-1], limits or AccuracyGate()
    ranges = calibrate_ranges(model, inputs, method, precision)
    exact = run_trunk(model, held_out)
    alone = []
    for name in (node.name for node in quantizable_layers(model)):
        rounded = run_trunk(insert_qdq(model, ranges, {name}, precision), held_out, precision)
        alone.append(Layer(name, relative_error(exact, rounded)))
    by_error = sorted(alone, key=lambda layer: layer.error)
    for count in range(len(by_error), 0, -1):
        chosen = {layer.name for layer in by_error[:count]}
        candidate = insert_qdq(model, ranges, chosen, precision)
        paid = quantization_error(exact, run_trunk(candidate, held_out, precision), score)
        if limits.passes(paid):
            quantized.write_bytes(candidate.SerializeToString())
            layers = tuple(Layer(layer.name, layer.error, layer.name not in chosen) for layer in alone)
            return Report(precision, method, layers, paid)
    raise UserError(
        f"No layer can be {precision.upper()}: even the least sensitive one alone fails the gate (cosine "
        f"{limits.min_cosine}, drop of a score {limits.max_drop}); ship FP32 instead."
    )


def quantization_error(exact: TrunkOutput, rounded: TrunkOutput, score: Score | None = None) -> QuantizationError:
    """Compare the outputs `rounded` of a quantized trunk with the `exact` ones."""
    before, after = (score(*each) if score else {} for each in (exact, rounded))
    scores = {name: (before[name], after[name]) for name in before}
    return QuantizationError(cosine(exact[0], rounded[0]), relative_error(exact, rounded), scores)


def relative_error(exact: TrunkOutput, rounded: TrunkOutput) -> float:
    """Relative length of the difference, of embeddings or Action Unit logits, whichever is larger."""
    pairs = zip(exact, rounded, strict=True)
    return max(float(np.linalg.norm(b - a) / max(float(np.linalg.norm(a)), 1e-12)) for a, b in pairs)


def cosine(exact: np.ndarray, rounded: np.ndarray) -> float:
    """Average the cosine between the rows of two (N, d) arrays."""
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    return float(((exact * rounded).sum(1) / np.maximum(norms, 1e-12)).mean())


def run_trunk(model: onnx.ModelProto, inputs: Inputs, precision: str = "fp32") -> TrunkOutput:
    """Run a trunk: embeddings (N, d) and Action Unit logits (N, A)."""
    return OnnxTrunk(model.SerializeToString(), allow_fusions=precision != "fp8").embed(**inputs)


def quantizable_layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """List the layers with constant weights."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type in OPERATORS and node.input[1] in constants]


def calibrate_ranges(model: onnx.ModelProto, inputs: Sequence[Inputs], method: str, precision: str) -> dict[str, float]:
    """Find the largest magnitude to represent, for each tensor that enters or leaves a layer.

    "minmax" takes the maximum, "percentile" the 99.99th percentile, "mse" the limit with the least squared rounding
    error, and "entropy" the limit whose rounded histogram has the least Kullback-Leibler divergence (Migacz 2017).
    """
    names = sorted({name for node in quantizable_layers(model) for name in (node.input[0], node.output[0])})
    probed = onnx.ModelProto.FromString(model.SerializeToString())
    known = {output.name for output in probed.graph.output} | {given.name for given in probed.graph.input}
    probed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    run = create_session(probed.SerializeToString())

    def seen(batch: Inputs) -> list[np.ndarray]:
        inner = iter(run.run([name for name in names if name not in batch], batch))
        return [abs(batch[name] if name in batch else next(inner)) for name in names]

    most = np.full(len(names), 1e-6)
    for batch in inputs:
        most = np.maximum(most, [values.max() for values in seen(batch)])
    if method == "minmax":
        return dict(zip(names, most.tolist(), strict=True))
    counts = np.zeros((len(names), BINS))
    for batch in inputs:
        for i, values in enumerate(seen(batch)):
            counts[i] += np.histogram(values, BINS, (0, most[i]))[0]
    return {
        name: limit * most[i] for i, name in enumerate(names) for limit in [best_limit(counts[i], method, precision)]
    }


def best_limit(counts: np.ndarray, method: str, precision: str) -> float:
    """Find where to cut off a histogram (BINS,) of magnitudes, as a share of its range."""
    if method == "percentile":
        return (int(np.searchsorted(np.cumsum(counts), PERCENTILE / 100 * counts.sum())) + 1) / BINS
    limits = np.arange(BINS // 16, BINS + 1, BINS // 128) / BINS
    middles = (np.arange(BINS) + 0.5) / BINS
    loss = squared_error if method == "mse" else divergence
    return float(min(limits, key=lambda limit: loss(counts, middles, limit, precision)))


def squared_error(counts: np.ndarray, middles: np.ndarray, limit: float, precision: str) -> float:
    """Compute the squared rounding error of a histogram with this limit."""
    return float((counts * (middles - round_to(middles, limit, precision)) ** 2).sum())


def divergence(counts: np.ndarray, middles: np.ndarray, limit: float, precision: str) -> float:
    """Compute the divergence of a rounded histogram from the exact one, whose tail is added at the limit."""
    inside = middles <= limit
    counts = np.concatenate([[0], counts[1:]])  # every limit keeps zeros exact, of which ReLU makes many
    wanted = counts[inside]
    wanted[-1] += counts[~inside].sum()
    _, level = np.unique(round_to(middles[inside], limit, precision), return_inverse=True)
    filled = counts[inside] > 0
    share = np.bincount(level, counts[inside]) / np.maximum(np.bincount(level, filled), 1)
    p, q = wanted / wanted.sum(), np.where(filled, share[level], 0) / max(counts[inside].sum(), 1)
    return float(np.sum(p * np.log(np.maximum(p, 1e-12) / np.maximum(q, 1e-12))))


def round_to(values: np.ndarray, limit: float, precision: str) -> np.ndarray:
    """Round `values` (N,), which are not negative, with `limit` as the largest number."""
    scaled = np.minimum(values / limit, 1) * LARGEST[precision]
    whole = np.round(scaled) if precision == "int8" else scaled.astype(ml_dtypes.float8_e4m3fn).astype(float)
    return whole * limit / LARGEST[precision]


def insert_qdq(model: onnx.ModelProto, ranges: dict[str, float], layers: set[str], precision: str) -> onnx.ModelProto:
    """Copy `model` with quantized inputs, weights and outputs of the named layers."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    writer = _Writer(copy.graph, ranges, precision)
    outputs = {output.name for output in copy.graph.output}
    for node in list(copy.graph.node):
        if node.name in layers:
            node.input[0] = writer.rounded(node.input[0])
            node.input[1] = writer.weights(node)
        writer.nodes.append(node)
        if node.name in layers and node.output[0] not in outputs:
            writer.round_output(node)
    del copy.graph.node[:]
    copy.graph.node.extend(writer.nodes)
    onnx.checker.check_model(copy)
    return copy


class _Writer:
    """Adds Q/DQ pairs to a graph, whose new nodes are collected in order in `nodes`."""

    def __init__(self, graph: onnx.GraphProto, ranges: dict[str, float], precision: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._graph, self._ranges, self._largest = graph, ranges, LARGEST[precision]
        self._dtype = np.dtype(np.int8 if precision == "int8" else ml_dtypes.float8_e4m3fn)
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._rounded: dict[str, str] = {}  # tensor -> its name after Q/DQ

    def rounded(self, tensor: str) -> str:
        """Return the name of `tensor` after its Q/DQ pair, which is added once."""
        if tensor not in self._rounded:
            self._pair(tensor, tensor, f"{tensor}_rounded")
        return self._rounded[tensor]

    def round_output(self, node: onnx.NodeProto) -> None:
        """Add a Q/DQ pair to the output of `node`, for all its readers."""
        tensor, node.output[0] = node.output[0], f"{node.output[0]}_exact"
        self._pair(tensor, node.output[0], tensor)
        self._rounded[tensor] = tensor

    def weights(self, node: onnx.NodeProto) -> str:
        """Store the weights of `node` quantized, with one scale for each output channel."""
        stored = self._constants[node.input[1]]
        name = f"{stored.name}_rounded"
        if name in self._rounded:
            return name
        values = numpy_helper.to_array(stored)
        transposed = any(field.name == "transB" and field.i for field in node.attribute)
        axis = 0 if node.op_type == "Conv" or transposed else values.ndim - 1
        others = tuple(i for i in range(values.ndim) if i != axis)
        scale = np.maximum(abs(values).max(others, keepdims=True), 1e-9) / np.float32(self._largest)
        names = self._scale(stored.name, scale.ravel())
        self._graph.initializer.append(numpy_helper.from_array(self._round(values / scale), f"{stored.name}_q"))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{stored.name}_q", *names], [name], axis=axis))
        self._rounded[name] = name
        self._graph.initializer.remove(stored)
        return name

    def _round(self, values: np.ndarray) -> np.ndarray:
        whole = np.round(values) if self._dtype == np.int8 else values
        return np.clip(whole, -self._largest, self._largest).astype(self._dtype)

    def _pair(self, tensor: str, source: str, target: str) -> None:
        names = self._scale(tensor, np.float32(self._ranges[tensor] / self._largest))
        self.nodes.append(helper.make_node("QuantizeLinear", [source, *names], [f"{tensor}_q"]))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{tensor}_q", *names], [target]))
        self._rounded[tensor] = target

    def _scale(self, name: str, scale: np.ndarray | np.float32) -> list[str]:
        """Add a scale and its zero point, which is 0 and defines the type."""
        scale = np.asarray(scale, np.float32)
        zero = np.zeros(scale.shape, self._dtype)
        pairs = {f"{name}_scale": scale, f"{name}_zero": zero}
        self._graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in pairs.items())
        return list(pairs)


def sensitivity_svg(report: Report) -> str:
    """Draw the error of each layer alone, on a logarithmic scale, as an SVG."""
    row, left, width = 22, 230, 360
    floor = 1e-4
    lines = []
    for i, layer in enumerate(report.layers):
        y, length = 40 + i * row, width * np.log10(max(layer.error, floor) / floor) / -np.log10(floor)
        colour, note = ("#c0392b", " kept in FP32") if layer.kept else ("#2f6f9f", "")
        lines.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{layer.name}</text>'
            f'<rect x="{left}" y="{y}" width="{max(length, 1):.1f}" height="15" fill="{colour}"/>'
            f'<text x="{left + length + 6:.1f}" y="{y + 12}">{layer.error:.1e}{note}</text>'
        )
    title = f"{report.precision.upper()}, {report.method}: relative error of the outputs, each layer quantized alone"
    total = f"all together: {report.cost.error:.1e}; cosine of the embedding {report.cost.cosine:.4f}"
    height = 40 + row * len(report.layers) + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 170}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="22" font-size="14">{title}</text>{"".join(lines)}'
        f'<text x="{left}" y="{height - 12}">{total}</text></svg>\n'
    )
