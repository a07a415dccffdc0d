"""From a trained model to a bundle that the engine runs."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as serialize
from safetensors.torch import load_model as load_weights
from safetensors.torch import save_model

from calib import probability
from calib.quantize import gate, quantize
from engine import bundle, heads
from engine.crop import CropSpec
from engine.errors import UserError
from engine.recognizer import feeds, normalise
from engine.runtimes.onnx import OUTPUTS, OnnxTrunk
from trainers.data.synth.action_units import AUS
from trainers.data.synth.flows import CLASSES, Flows, FlowSettings
from trainers.models.merau import FlowModule, FlowNet, LinearNet, Merau

CALIBRATION_BATCH = 50
RISK = 0.08  # share of wrong answers aimed at, so that it stays below a tenth where cameras are worse
DOMAIN_SAMPLES = 300
WEIGHTS = "weights.safetensors"  # of the model itself, for further training; nothing at run time reads it


def export(
    model: Merau,
    folder: Path,
    *,
    name: str,
    kept_back: Flows,
    trained_on: dict[str, Any],
    classes: Sequence[str] = CLASSES,
) -> None:
    """Write the bundle: trunks, head, samples for the domain gauge, model.json.

    `kept_back` was not trained on and has the share of "no expression" to be met live. The head's bias is moved to that
    share; quantisation ranges, temperature and threshold are fit there. Raises UserError where INT8 strays from FP32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs = trunk_inputs(model.apex_px, kept_back.flow, known=kept_back.known)
    fp32, int8 = (folder / bundle.TRUNKS[precision] for precision in ("fp32", "int8"))
    write_onnx(model, fp32, {key: value[:2] for key, value in inputs.items()})
    starts = range(0, min(2000, len(kept_back.label) // 2), CALIBRATION_BATCH)
    quantize(fp32, int8, [rows(inputs, slice(i, i + CALIBRATION_BATCH)) for i in starts])
    cosine = gate(fp32.read_bytes(), int8.read_bytes(), rows(inputs, slice(-1000, None)))

    weight, bias = (p.detach().numpy().copy() for p in (model.classify.weight, model.classify.bias))
    none = len(classes) - 1
    live = kept_back.known  # flow sets hold expressions only: they are not what confidence is for
    bias[-1] += log_odds(float((kept_back.label[live] == none).mean())) - log_odds(FlowSettings().no_expression)
    head = heads.Linear(tuple(classes), weight, bias)
    heads.save(head, folder / bundle.HEAD)
    embedding, _ = OnnxTrunk(int8.read_bytes()).embed(**inputs)
    domain = embedding[live & (kept_back.label < none)][:DOMAIN_SAMPLES]
    save_model(model, str(folder / WEIGHTS))
    (folder / bundle.DOMAIN).write_bytes(serialize({"embedding": np.ascontiguousarray(domain)}))
    card = {
        "name": name,
        "input": feeds(CropSpec(), "dis", apex_px=model.apex_px),
        "classes": list(classes),
        "aus": [str(au) for au in AUS],
        "calibration": calibration(head.logits(embedding[live]), kept_back.label[live])
        | {"int8_cosine": round(cosine, 4)},
        "trained_on": trained_on,
        "scores": {},
    }
    bundle.save(folder, card)


def calibration(logits: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Temperature, and the confidence below which the answer is "uncertain": the wrong among all answers, and among
    those that name an expression, stay within RISK. "No expression" is easy and would hide the errors of the rest."""
    temperature = probability.fit_temperature(logits, label)
    probabilities = heads.softmax(logits / temperature)
    named = probabilities.argmax(1) < logits.shape[1] - 1
    thresholds = [
        probability.uncertain_threshold(probabilities[asked], label[asked], risk=RISK)
        for asked in (named, np.ones(len(label), bool))
    ]
    return {"temperature": temperature, "threshold": max(thresholds), "risk": RISK}


def load_model(folder: Path) -> Merau:
    """The model that `export` wrote into `folder`, to train on. Raises UserError where its weights are not there."""
    card = bundle.load(folder).card
    if card["input"]["apex_px"]:
        raise UserError(f"Bundle {card['name']} has an apex branch: only models of flow alone can be trained on.")
    classes = len(card["classes"])
    judges: list[FlowNet | LinearNet] = [FlowNet(classes=classes) for _ in range(card["trained_on"]["flows"]["nets"])]
    model = Merau(FlowModule([*judges, LinearNet(classes=classes)]))
    try:
        load_weights(model, str(folder / WEIGHTS))
    except (OSError, RuntimeError) as error:
        raise UserError(f"{folder} holds no weights to train on: {WEIGHTS} is missing or another model's.") from error
    return model.eval()


def log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))


def trunk_inputs(
    apex_px: int, flow: np.ndarray, apex: np.ndarray | None = None, known: np.ndarray | bool = True
) -> dict[str, np.ndarray]:
    """The trunk's inputs for flows (N, 2, 32, 32) px; one that sees pictures of `apex_px`, not 0, gets those
    in `apex` (N, 1, S, S) or is told that there are none. `known` as in `normalise`."""
    pattern, magnitude = normalise(flow, known)
    inputs = {"flow": pattern, "magnitude": magnitude}
    if apex_px:
        picture = np.zeros((len(flow), 1, apex_px, apex_px), np.float32) if apex is None else apex
        inputs |= {"apex": picture, "has_apex": np.full((len(flow), 1), float(apex is not None), np.float32)}
    return inputs


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
