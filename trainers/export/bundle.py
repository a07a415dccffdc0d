"""Export of a trained model as a bundle.

A bundle has trunks in every precision, a head, and a calibration.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors import SafetensorError
from safetensors.numpy import save as serialize
from safetensors.torch import load_file, save_model

from merau.calib import probability
from merau.calib.quantize import Report, Score, quantize
from merau.engine import bundle, heads
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.flow import METHODS
from merau.engine.preprocess import input_spec, split_pattern_and_magnitude
from merau.engine.runtimes.onnx import OUTPUTS, OnnxTrunk
from merau.trainers.data.flow_set import UNLABELLED
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import CLASSES, LIVE_SHARE, Flows, concatenate
from merau.trainers.evaluate.metrics import class_scores, mean_auc
from merau.trainers.models.au import AuModule
from merau.trainers.models.merau import (
    DctNet,
    FlowEncoder,
    FlowModule,
    FlowNet,
    FlowResNet,
    GatedClassifier,
    Merau,
    NothingNet,
    reset_classifier,
)
from merau.trainers.models.tcae import Encoder

BATCH = 50
RANGE_SAMPLES = 1000  # at most so many samples of each set give the quantization ranges
GATE_SAMPLES = 1000  # and at most so many of each pass the accuracy gate, layer by layer
METHOD = "percentile"  # how quantization ranges are found
RISK = 0.15  # accepted share of errors among certain answers, where data are as hard as real ones
DOMAIN_SAMPLES = 300
DEFAULT = bundle.SHIPPED / "default"
WEIGHTS = "weights.safetensors"  # of the PyTorch model, for further training; the live path never reads it


def export(
    model: Merau,
    folder: Path,
    *,
    name: str,
    held_out: Sequence[Flows],
    trained_on: dict[str, Any],
    classes: Sequence[str] = CLASSES,
    flow: Sequence[str] = METHODS,
) -> None:
    """Write the bundle: trunks, head, domain samples and model.json.

    Args:
        model: The trained model.
        folder: Where to write.
        name: Name of the bundle.
        held_out: Sets that were not trained on: quantization ranges, temperature, gate and thresholds are fitted to
            them.
        trained_on: Description of the training, for the card.
        classes: Names of the classes, "no expression" last.
        flow: The optical flow methods that the model was trained for; the CPU uses the first.

    Raises:
        UserError: INT8 or FP8 differs too much from FP32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs = trunk_inputs(model.apex_px, held_out[0].flow[:2])
    write_onnx(model, folder / bundle.TRUNKS["fp32"], inputs)
    save_model(model, str(folder / WEIGHTS))
    weight, bias = (p.detach().numpy().copy() for p in (model.classify.weight, model.classify.bias))
    heads.save(heads.Gated(tuple(classes), weight, bias), folder / bundle.HEAD)
    card = {
        "name": name,
        "input": input_spec(CropSpec(), flow, apex_px=model.apex_px),
        "classes": list(classes),
        "aus": [str(au) for au in AUS],
        "calibration": {},
        "trained_on": trained_on,
        "scores": {},
    }
    quantize_trunk(folder, card, held_out, precision="fp8")
    quantize_trunk(folder, card, held_out, precision="int8")
    bundle.save(folder, card)


def quantize_trunk(
    folder: Path,
    card: dict[str, Any],
    data: Sequence[Flows],
    *,
    precision: str,
    method: str = METHOD,
    risk: float = RISK,
) -> Report:
    """Write the trunk of `precision` beside those in `folder`, and update `card`.

    Ranges come from the first half of each set of `data`, the accuracy gate (cosine of embeddings, UF1, AUC of the
    Action Units) uses the second. INT8 is what runs, so the bundle is calibrated again with it.

    Raises:
        UserError: The gate is not passed.
    """
    head = heads.load((folder / bundle.HEAD).read_bytes())
    halves = [len(one.label) // 2 for one in data]
    first = [take_rows(one, slice(min(RANGE_SAMPLES, half))) for one, half in zip(data, halves, strict=True)]
    second = concatenate(
        [take_rows(one, slice(half, half + GATE_SAMPLES)) for one, half in zip(data, halves, strict=True)]
    )
    ranged = [trunk_inputs(card["input"]["apex_px"], one.flow, known=one.known) for one in first]
    batches = [slice_inputs(each, slice(i, i + BATCH)) for each in ranged for i in range(0, len(each["flow"]), BATCH)]
    trunk = folder / (bundle.TRUNKS | bundle.EXTRA_TRUNKS)[precision]
    report = quantize(
        folder / bundle.TRUNKS["fp32"],
        trunk,
        batches,
        method=method,
        precision=precision,
        held_out=trunk_inputs(card["input"]["apex_px"], second.flow, known=second.known),
        score=make_scorer(head, second),
    )
    card["calibration"] = card["calibration"] | {f"{precision}_cosine": round(report.cost.cosine, 4)}
    if precision == "int8":
        calibrate_bundle(folder, card, data, risk=risk)
    return report


def make_scorer(head: heads.Head, data: Flows) -> Score:
    """Return a function that scores a trunk's output for `data`.

    It gives UF1, and the mean AUC of the coded Action Units of expressions. Where the magnitude is unknown, UF1 is of
    expressions among themselves.

    Where no sample has coded Action Units, it gives UF1 alone.
    """
    none = len(head.classes) - 1
    labelled = data.label != UNLABELLED
    coded = ~np.isnan(data.aus).any(1) & (data.label != none)

    def score(embedding: np.ndarray, au_logits: np.ndarray) -> dict[str, float]:
        logits = head.logits(embedding)
        predicted = np.where(data.known, logits.argmax(1), logits[:, :none].argmax(1))
        uf1 = class_scores(data.label[labelled], predicted[labelled], len(head.classes))["uf1"]
        au_auc = mean_auc(data.aus[coded], au_logits[coded])
        return {"uf1": uf1} if np.isnan(au_auc) else {"uf1": uf1, "au_auc": au_auc}

    return score


def calibrate_bundle(folder: Path, card: dict[str, Any], data: Sequence[Flows], *, risk: float = RISK) -> None:
    """Calibrate the bundle on INT8 outputs.

    This sets the head's temperature and gate, the thresholds and the scaling of Action Units, and stores domain
    samples. `risk` as in `fit_calibration`.

    Raises:
        UserError: The head has no gate, or `risk` cannot be kept.
    """
    head = heads.load((folder / bundle.HEAD).read_bytes())
    if not isinstance(head, heads.Gated):
        raise UserError("Only a bundle that tells expressions from none by a gate of its own can be calibrated.")
    trunk, none = OnnxTrunk((folder / bundle.TRUNKS["int8"]).read_bytes()), len(head.classes) - 1
    outputs = [trunk.embed(**trunk_inputs(card["input"]["apex_px"], one.flow, known=one.known)) for one in data]
    domain = outputs[0][0][data[0].label < none][:DOMAIN_SAMPLES]
    (folder / bundle.DOMAIN).write_bytes(serialize({"embedding": np.ascontiguousarray(domain)}))
    temperature, gate = fit_head([(head.logits(e), one) for (e, _), one in zip(outputs, data, strict=True)])
    head = calibrated_head(head, temperature, gate)
    heads.save(head, folder / bundle.HEAD)
    fitted = fit_threshold([(head.logits(e), one) for (e, _), one in zip(outputs, data, strict=True)], risk=risk)
    expressive = [(one.label != none) & ~np.isnan(one.aus).any(1) for one in data]
    logits, aus, weights = (
        np.concatenate(column)
        for column in zip(
            *(
                (each[rows], one.aus[rows], np.full(rows.sum(), 1 / max(rows.sum(), 1)))
                for (_, each), one, rows in zip(outputs, data, expressive, strict=True)
            ),
            strict=True,
        )
    )
    units = calibrate_aus(card["aus"], logits, aus, weights)
    card["calibration"] = card["calibration"] | {"temperature": 1.0, **fitted, "units": units}


def fit_head(outputs: Sequence[tuple[np.ndarray, Flows]]) -> tuple[float, tuple[float, float]]:
    """Fit the temperature of the classes, and slope and offset of the gate, to several sets.

    Reality may be as hard as the hardest set, so the highest temperature that any set needs is taken. How often no
    expression is shown depends on the camera, not on the set: the gate is fitted with each set weighing the same,
    LIVE_SHARE of it without expression. Sets of unknown magnitude do not count for the gate.

    Args:
        outputs: Gated logits (N, C) for each set.
    """
    temperatures, gate_rows = [], []
    for logits, data in outputs:
        expressions, gate = split_gate(logits)
        none = expressions.shape[1]
        shown = (data.label < none) & (data.label != UNLABELLED)
        if shown.any():
            temperatures.append(probability.fit_temperature(expressions[shown], data.label[shown]))
        if data.known.any() and (data.label[data.known] == none).any():
            rows = data.known & (data.label != UNLABELLED)
            gate_rows.append((gate[rows], data.label[rows] == none))
    if not gate_rows:
        return max(temperatures), (1.0, 0.0)
    gates, truth = (np.concatenate(column) for column in zip(*gate_rows, strict=True))
    weights = np.concatenate([deployment_weights(absent) for _, absent in gate_rows])
    return max(temperatures), probability.fit_slope_and_offset(gates, truth, weights)


def split_gate(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits (N, C - 1) of expressions and the gate's (N,) in those of a gated head (N, C)."""
    expressions = logits[:, :-1]
    return expressions, logits[:, -1] - np.logaddexp.reduce(expressions, axis=1)


def calibrated_head(head: heads.Gated, temperature: float, gate: tuple[float, float]) -> heads.Gated:
    """Return `head` with a temperature, and with slope and offset of its gate, in its weights."""
    slope, offset = gate
    scale = np.array([*[1 / temperature] * (len(head.classes) - 1), slope], np.float32)
    bias = head.bias * scale
    bias[-1] += np.float32(offset)
    return heads.Gated(head.classes, head.weight * scale[:, None], bias)


def fit_threshold(outputs: Sequence[tuple[np.ndarray, Flows]], *, risk: float = RISK) -> dict[str, float]:
    """Fit the threshold of a calibrated head to several sets; the strictest that any set needs is taken.

    Below the threshold a prediction is "uncertain": the errors among the others, and among those that name an
    expression, stay within `risk`. "No expression" is easy, and would hide the errors of the rest.

    Args:
        outputs: Gated logits (N, C) for each set.
        risk: Accepted share of errors.

    Returns:
        threshold and risk.
    """
    thresholds = []
    for logits, data in outputs:
        rows = data.label != UNLABELLED
        logits, label, none = logits[rows], data.label[rows], logits.shape[1] - 1
        if not data.known.any():  # the gate needs the magnitude
            probabilities = heads.softmax(logits[:, :none])
            thresholds.append(probability.uncertain_threshold(probabilities, label, risk=risk))
            continue
        probabilities = heads.softmax(logits)
        named = probabilities.argmax(1) < none
        thresholds += [
            probability.uncertain_threshold(probabilities[rows], label[rows], risk=risk)
            for rows in (named, np.ones(len(label), bool))
        ]
    return {"threshold": max(thresholds), "risk": risk}


def calibrate_aus(
    names: Sequence[str], logits: np.ndarray, aus: np.ndarray, weights: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Fit slope and offset of each Action Unit's logits.

    They are needed because training overweights rare units.

    Args:
        names: Names of the A Action Units.
        logits: (N, A).
        aus: (N, A) of 0 or 1; rows that were not coded hold NaN and are left out.
        weights: (N,).

    Returns:
        Slope and offset by name; a unit that no sample or every sample shows is left out, and stays as it is.
    """
    coded = ~np.isnan(aus).any(1)
    logits, truth, weight = logits[coded], aus[coded], weights[coded]
    return {
        name: probability.fit_slope_and_offset(logits[:, i], truth[:, i], weight)
        for i, name in enumerate(names)
        if 0 < truth[:, i].sum() < len(truth)
    }


def deployment_weights(none: np.ndarray) -> np.ndarray:
    """Return weights (N,) that give no expression its share in use.

    `none` (N,) bool marks samples without expression; the sum is 1.
    """
    return np.where(none, LIVE_SHARE / max(none.sum(), 1), (1 - LIVE_SHARE) / max((~none).sum(), 1))


def load_model(folder: Path) -> Merau:
    """Return the PyTorch model of the bundle in `folder`, for further training.

    Raises:
        UserError: Its weights are missing, or of another model.
    """
    loaded = bundle.load(folder)
    card = loaded.card
    try:
        weights = load_file(folder / WEIGHTS)
        shapes = {name: value.shape for name, value in weights.items()}
        gated = isinstance(heads.load(loaded.content[bundle.HEAD]), heads.Gated)
        model = model_for_shapes(shapes, len(card["classes"]), card["input"]["apex_px"], gated=gated)
        model.load_state_dict(weights)
    except (OSError, RuntimeError, KeyError, SafetensorError) as error:
        raise UserError(f"{folder} cannot be trained further: {WEIGHTS} is missing or of another model.") from error
    model.eval()
    return model


def model_for_shapes(shapes: Mapping[str, Sequence[int]], classes: int, apex_px: int, *, gated: bool) -> Merau:
    """Return an untrained model whose weights have these names and `shapes`."""
    members = sum(name.startswith("flow.members.") and name.endswith(".classify.weight") for name in shapes)
    nothing = NothingNet() if "flow.nothing.classify.weight" in shapes else None
    evidence = torch.zeros(*shapes["flow.evidence"], dtype=torch.long) if "flow.evidence" in shapes else None
    each = [member_for_shapes(shapes, f"flow.members.{i}") for i in range(members)]
    flow = FlowModule(each, nothing=nothing, evidence=evidence)
    if not apex_px:
        model = Merau(flow)
    else:
        encoder = Encoder(size_px=apex_px, base=shapes["au.encoder.shared.0.0.weight"][0])
        model = Merau(flow, au=AuModule(encoder, aus=shapes["au.detector.1.weight"][0]))
    if gated:
        model.classify = GatedClassifier(model.dimension, classes)
        return model
    kind = "cosine" if "classify.log_scale" in shapes else "linear" if "classify.weight" in shapes else "prototypes"
    reset_classifier(model, kind, classes)
    return model


def member_for_shapes(shapes: Mapping[str, Sequence[int]], name: str) -> FlowEncoder:
    """Return the untrained flow encoder whose weights start with `name`."""
    classes = shapes[f"{name}.classify.weight"][0]
    if f"{name}.encoder.conv1.weight" in shapes:
        return FlowResNet(classes=classes)
    return DctNet(classes=classes) if f"{name}.basis" in shapes else FlowNet(classes=classes)


def trunk_inputs(
    apex_px: int, flow: np.ndarray, apex: np.ndarray | None = None, known: np.ndarray | bool = True
) -> dict[str, np.ndarray]:
    """Return the trunk's inputs by name.

    Args:
        apex_px: Side of the apex images that the trunk sees; 0 if it sees none.
        flow: (N, 2, 32, 32) px.
        apex: Images (N, 1, S, S); None where there are none.
        known: Whether the magnitude is known, as in `split_pattern_and_magnitude`.
    """
    pattern, magnitude = split_pattern_and_magnitude(flow, known)
    inputs = {"flow": pattern, "magnitude": magnitude}
    if apex_px:
        image = np.zeros((len(flow), 1, apex_px, apex_px), np.float32) if apex is None else apex
        inputs |= {"apex": image, "has_apex": np.full((len(flow), 1), float(apex is not None), np.float32)}
    return inputs


def check_sees_flow(recognizer_bundle: bundle.Bundle) -> None:
    """Raise UserError for a bundle that sees frames, where there is flow alone."""
    if "clip" in recognizer_bundle.card["input"]:
        raise UserError(
            f"Bundle {recognizer_bundle.name} sees frames, and here there is flow alone: use evaluate --protocol or "
            "predict with a flow set that has frames."
        )


def take_rows(data: Flows, rows: slice) -> Flows:
    """Return the samples `rows` of `data`."""
    return Flows(*(column[rows] for column in vars(data).values()))


def slice_inputs(inputs: dict[str, np.ndarray], rows: slice) -> dict[str, np.ndarray]:
    """Return the samples `rows` of a trunk's `inputs`."""
    return {name: value[rows] for name, value in inputs.items()}


def write_onnx(model: Merau, path: Path, example: dict[str, np.ndarray]) -> None:
    """Write the model as ONNX with a free batch size and named inputs and outputs.

    The exporter's notes on where each node comes from are left out: they name folders of this machine.
    """
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists every optional package it did not find
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own internals
        torch.onnx.export(
            model.eval(),
            tuple(torch.from_numpy(value) for value in example.values()),
            path,
            input_names=list(example),
            output_names=OUTPUTS,
            dynamic_shapes=[{0: batch} for _ in example],
            external_data=False,
            verbose=False,
        )
    save_without_notes(onnx.load(path), path)


def save_without_notes(exported: onnx.ModelProto, path: Path) -> None:
    """Write an ONNX model without the notes of its exporter."""
    graph = exported.graph
    for part in (exported, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(exported, path)
