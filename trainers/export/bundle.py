"""From a trained model to a bundle that the engine runs: its trunks in every precision, its head, its calibration."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import save as serialize
from safetensors.torch import load_file, save_model

from merau.calib import probability
from merau.calib.quantize import Report, Score, quantize
from merau.engine import bundle, heads
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.preprocess import input_spec, split_pattern_and_magnitude
from merau.engine.runtimes.onnx import OUTPUTS, OnnxTrunk
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.data.synth.flow_fields import CLASSES, LIVE_SHARE, Flows, concatenate
from merau.trainers.evaluate.metrics import class_scores, mean_auc
from merau.trainers.models.au import AuModule
from merau.trainers.models.merau import FlowEncoder, FlowModule, FlowNet, FlowResNet, LinearNet, Merau, reset_classifier
from merau.trainers.models.tcae import Encoder

BATCH = 50
MOST_RANGED = 1000  # samples of each set that quantisation ranges come from
METHOD = "percentile"  # of finding them
RISK = 0.06  # share of wrong answers aimed at, so that it stays below a tenth where cameras are worse
FALSE_SOMETHING = 0.002  # share of quiet faces that surely express something: they are most of what a camera sees
FALSE_NOTHING = 0.1  # share of expressions, the weakest, that are surely nothing
DOMAIN_SAMPLES = 300
DEFAULT = Path(bundle.__file__).parent / "bundles" / "default"
WEIGHTS = "weights.safetensors"  # of the model itself, for further training; nothing at run time reads it


def export(
    model: Merau,
    folder: Path,
    *,
    name: str,
    kept_back: Sequence[Flows],
    trained_on: dict[str, Any],
    classes: Sequence[str] = CLASSES,
    flow: str = "dis",
) -> None:
    """Write the bundle: trunks, head, samples for the domain gauge, model.json. It is for the flow method `flow`.

    `kept_back`, sets that were not trained on, are what quantisation ranges, the bias for "no expression", temperature
    and threshold are fit to. Raises UserError where INT8 or FP8 strays from FP32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs = trunk_inputs(model.apex_px, kept_back[0].flow[:2])
    write_onnx(model, folder / bundle.TRUNKS["fp32"], inputs)
    save_model(model, str(folder / WEIGHTS))
    weight, bias = (p.detach().numpy().copy() for p in (model.classify.weight, model.classify.bias))
    heads.save(heads.Linear(tuple(classes), weight, bias), folder / bundle.HEAD)
    card = {
        "name": name,
        "input": input_spec(CropSpec(), flow, apex_px=model.apex_px),
        "classes": list(classes),
        "aus": [str(au) for au in AUS],
        "calibration": {},
        "trained_on": trained_on,
        "scores": {},
    }
    quantize_trunk(folder, card, kept_back, precision="fp8")
    quantize_trunk(folder, card, kept_back, precision="int8")
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
    """Write the trunk of `precision` beside FP32's and the head in `folder`, and bring `card` up to date.

    Ranges come from the first half of each set of `data`, the gate (cosine of embeddings, UF1, AUC of the Action Units)
    is held by the second. INT8 is what runs: what depends on that follows (`calibrate_bundle`). Raises UserError where
    the gate is not passed.
    """
    head = heads.load((folder / bundle.HEAD).read_bytes())
    halves = [len(one.label) // 2 for one in data]
    first = [part(one, slice(min(MOST_RANGED, half))) for one, half in zip(data, halves, strict=True)]
    second = concatenate([part(one, slice(half, None)) for one, half in zip(data, halves, strict=True)])
    ranged = [trunk_inputs(card["input"]["apex_px"], one.flow, known=one.known) for one in first]
    batches = [rows(each, slice(i, i + BATCH)) for each in ranged for i in range(0, len(each["flow"]), BATCH)]
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
    """UF1 of what is said to `data`, and mean AUC of the Action Units of those samples that have them coded; without
    such, UF1 alone.
    """
    coded = ~np.isnan(data.aus).any(1)

    def score(embedding: np.ndarray, au_logits: np.ndarray) -> dict[str, float]:
        uf1 = class_scores(data.label, head.logits(embedding).argmax(1), len(head.classes))["uf1"]
        au_auc = mean_auc(data.aus[coded], au_logits[coded])
        return {"uf1": uf1} if np.isnan(au_auc) else {"uf1": uf1, "au_auc": au_auc}

    return score


def calibrate_bundle(folder: Path, card: dict[str, Any], data: Sequence[Flows], *, risk: float = RISK) -> None:
    """Samples for the domain gauge, the head's bias for "no expression", temperature and thresholds, the scaling of the
    Action Units, from what the INT8 trunk says to `data`; `risk` as in `fit_calibration`.

    Sets in which the size of the motion is not known take no part: they hold expressions only, and confidence is not
    for them. Without any other everything stays as it is.
    """
    head = heads.load((folder / bundle.HEAD).read_bytes())
    if not isinstance(head, heads.Linear):
        raise UserError("Only a linear head can be brought to a share of no expression.")
    trunk = OnnxTrunk((folder / bundle.TRUNKS["int8"]).read_bytes())
    live = []
    for one in data:
        if one.known.any():
            inputs = trunk_inputs(card["input"]["apex_px"], one.flow[one.known])
            live.append((*trunk.embed(**inputs), one.label[one.known], one.aus[one.known]))
    if live:
        embedding, _, label, _ = live[0]
        domain = embedding[label < len(head.classes) - 1][:DOMAIN_SAMPLES]
        (folder / bundle.DOMAIN).write_bytes(serialize({"embedding": np.ascontiguousarray(domain)}))
        shift, fitted = fit_calibration([(head.logits(embedding), label) for embedding, _, label, _ in live], risk=risk)
        head.bias[-1] += shift
        heads.save(head, folder / bundle.HEAD)
        logits, aus = (np.concatenate([each[column] for each in live]) for column in (1, 3))
        weights = np.concatenate([deployment_weights(label == len(head.classes) - 1) for _, _, label, _ in live])
        units = calibrate_aus(card["aus"], logits, aus, weights)
        card["calibration"] = card["calibration"] | fitted | {"units": units}


def fit_calibration(
    answers: Sequence[tuple[np.ndarray, np.ndarray]], *, risk: float = RISK
) -> tuple[float, dict[str, float]]:
    """What is added to the last logit, "no expression", and temperature and thresholds, for sets of (logits, labels).

    How often nothing is shown is a camera's, not a set's: the bias is that of the least negative log-likelihood with
    each set weighing the same, LIVE_SHARE of it without expression. The next camera may be like the worst of the sets:
    the temperature is the highest that any asks for, and so is the threshold, below which the answer is "uncertain":
    the wrong among all answers to a set, and among those that name an expression, stay within `risk`. "No expression"
    is easy and would hide the errors of the rest. A probability of "no expression" below "something", or above
    "nothing", is beyond doubt in each of the sets.
    """
    logits, labels = (np.concatenate(column) for column in zip(*answers, strict=True))
    weights = np.concatenate([deployment_weights(label == said.shape[1] - 1) for said, label in answers])
    shift, _ = probability.fit_bias_and_temperature(logits, labels, weights)
    temperature = max(
        probability.fit_temperature(probability.add_class_bias(said, shift), label) for said, label in answers
    )
    thresholds, doubts = [], []
    for said, label in answers:
        probabilities = heads.softmax(probability.add_class_bias(said, shift) / temperature)
        named = probabilities.argmax(1) < said.shape[1] - 1
        thresholds += [
            probability.uncertain_threshold(probabilities[asked], label[asked], risk=risk)
            for asked in (named, np.ones(len(label), bool))
        ]
        none = label == said.shape[1] - 1
        doubts.append(
            probability.ambiguous_interval(probabilities[:, -1], none, missed=FALSE_SOMETHING, false=FALSE_NOTHING)
        )
    something, nothing = zip(*doubts, strict=True)
    return shift, {
        "temperature": temperature,
        "threshold": max(thresholds),
        "risk": risk,
        "something": min(something),
        "nothing": max(nothing),
    }


def calibrate_aus(
    names: Sequence[str], logits: np.ndarray, aus: np.ndarray, weights: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Slope and offset of each Action Unit's logits (N, A), by its name, for the truth `aus` (N, A) where it was coded:
    training weighs what is rare, a camera does not. A unit that was never seen there is left out: it stays as it is.
    """
    coded = ~np.isnan(aus).any(1)
    said, truth, weight = logits[coded], aus[coded], weights[coded]
    return {
        name: probability.fit_slope_and_offset(said[:, i], truth[:, i], weight)
        for i, name in enumerate(names)
        if 0 < truth[:, i].sum() < len(truth)
    }


def deployment_weights(none: np.ndarray) -> np.ndarray:
    """Weights (N,) of sum 1 for samples of which those where `none` (N,) bool show no expression."""
    return np.where(none, LIVE_SHARE / max(none.sum(), 1), (1 - LIVE_SHARE) / max((~none).sum(), 1))


def load_model(folder: Path) -> Merau:
    """The model whose bundle lies in `folder`, to train on. Raises UserError where its weights are not there."""
    card = bundle.load(folder).card
    try:
        weights = {rename_weight(name): value for name, value in load_file(folder / WEIGHTS).items()}
        shapes = {name: value.shape for name, value in weights.items()}
        model = model_for_shapes(shapes, len(card["classes"]), card["input"]["apex_px"])
        model.load_state_dict(weights)
    except (OSError, RuntimeError, KeyError, SafetensorError) as error:
        raise UserError(f"{folder} holds no weights to train on: {WEIGHTS} is missing or another model's.") from error
    return model.eval()


def rename_weight(name: str) -> str:
    """Return today's name of a stored weight; bundles from before version 0.2 have other names for `flow.members`."""
    return name.replace("flow.judges.", "flow.members.")


def model_for_shapes(shapes: Mapping[str, Sequence[int]], classes: int, apex_px: int) -> Merau:
    """An untrained model whose weights have the names and `shapes` of a stored one."""
    members = sum(name.startswith("flow.members.") and name.endswith(".classify.weight") for name in shapes)
    flow = FlowModule([member_for_shapes(shapes, f"flow.members.{i}") for i in range(members)])
    if not apex_px:
        model = Merau(flow)
    else:
        encoder = Encoder(size_px=apex_px, base=shapes["au.encoder.shared.0.0.weight"][0])
        model = Merau(flow, au=AuModule(encoder, aus=shapes["au.detector.1.weight"][0]))
    kind = "cosine" if "classify.log_scale" in shapes else "linear" if "classify.weight" in shapes else "prototypes"
    reset_classifier(model, kind, classes)
    return model


def member_for_shapes(shapes: Mapping[str, Sequence[int]], name: str) -> FlowEncoder:
    """The same for the judge of the flow that is called `name` there."""
    classes = shapes[f"{name}.classify.weight"][0]
    if f"{name}.encoder.conv1.weight" in shapes:
        return FlowResNet(classes=classes)
    return FlowNet(classes=classes) if f"{name}.features.0.0.weight" in shapes else LinearNet(classes=classes)


def trunk_inputs(
    apex_px: int, flow: np.ndarray, apex: np.ndarray | None = None, known: np.ndarray | bool = True
) -> dict[str, np.ndarray]:
    """The trunk's inputs for flows (N, 2, 32, 32) px; one that sees pictures of `apex_px`, not 0, gets those
    in `apex` (N, 1, S, S) or is told that there are none. `known` as in `normalise`.
    """
    pattern, magnitude = split_pattern_and_magnitude(flow, known)
    inputs = {"flow": pattern, "magnitude": magnitude}
    if apex_px:
        picture = np.zeros((len(flow), 1, apex_px, apex_px), np.float32) if apex is None else apex
        inputs |= {"apex": picture, "has_apex": np.full((len(flow), 1), float(apex is not None), np.float32)}
    return inputs


def part(data: Flows, which: slice) -> Flows:
    return Flows(*(column[which] for column in vars(data).values()))


def rows(inputs: dict[str, np.ndarray], which: slice) -> dict[str, np.ndarray]:
    return {key: value[which] for key, value in inputs.items()}


def write_onnx(model: Merau, path: Path, example: dict[str, np.ndarray]) -> None:
    """The model as ONNX with a free batch size, inputs and outputs named."""
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
