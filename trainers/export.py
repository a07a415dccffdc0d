"""From a trained model to a bundle that the engine runs."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calib import probability
from calib.quantize import gate, quantize
from engine import bundle, heads
from engine.crop import CropSpec
from engine.recognizer import APEX_PX, feeds, normalise
from engine.runtimes.onnx import OUTPUTS, OnnxTrunk
from trainers.data.synth.action_units import AUS
from trainers.data.synth.flows import CLASSES, EXPRESSIONS, Flows, FlowSettings
from trainers.models.merau import Merau

CALIBRATION_BATCH = 50
RISK = 0.10  # share of wrong answers among the expressions named and not called uncertain


def export(model: Merau, folder: Path, *, name: str, kept_back: Flows, trained_on: dict[str, Any]) -> None:
    """Write the bundle: trunks, head, model.json.

    `kept_back` was not trained on and has the share of "no expression" to be met live. The head's bias is moved to that
    share; quantisation ranges, temperature and threshold are fit there. Raises UserError where INT8 strays from FP32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs = trunk_inputs(model.au is not None, kept_back.flow, known=kept_back.known)
    fp32, int8 = (folder / bundle.TRUNKS[precision] for precision in ("fp32", "int8"))
    write_onnx(model, fp32, {key: value[:2] for key, value in inputs.items()})
    starts = range(0, min(2000, len(kept_back.label) // 2), CALIBRATION_BATCH)
    quantize(fp32, int8, [rows(inputs, slice(i, i + CALIBRATION_BATCH)) for i in starts])
    cosine = gate(fp32.read_bytes(), int8.read_bytes(), rows(inputs, slice(-1000, None)))

    weight, bias = (p.detach().numpy().copy() for p in (model.classify.weight, model.classify.bias))
    bias[-1] += log_odds(float((kept_back.label == len(EXPRESSIONS)).mean())) - log_odds(FlowSettings().no_expression)
    head = heads.Linear(CLASSES, weight, bias)
    heads.save(head, folder / bundle.HEAD)
    embedding, _ = OnnxTrunk(int8.read_bytes()).embed(**inputs)
    logits = head.logits(embedding)
    temperature = probability.fit_temperature(logits, kept_back.label)
    probabilities = heads.softmax(logits / temperature)
    named = probabilities.argmax(1) < len(EXPRESSIONS)  # "no expression" is easy and would hide the errors of the rest
    threshold = probability.uncertain_threshold(probabilities[named], kept_back.label[named], risk=RISK)
    card = {
        "name": name,
        "input": feeds(CropSpec(), "dis", sees_apex=model.au is not None),
        "classes": list(CLASSES),
        "aus": [str(au) for au in AUS],
        "calibration": {
            "temperature": temperature,
            "threshold": threshold,
            "risk": RISK,
            "int8_cosine": round(cosine, 4),
        },
        "trained_on": trained_on,
        "scores": {},
    }
    bundle.save(folder, card)


def log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))


def trunk_inputs(
    sees_apex: bool, flow: np.ndarray, apex: np.ndarray | None = None, known: np.ndarray | bool = True
) -> dict[str, np.ndarray]:
    """The trunk's inputs for flows (N, 2, 32, 32) px; a trunk that `sees_apex` gets pictures (N, 1, 64, 64) or is told
    that there are none. `known` as in `normalise`."""
    pattern, magnitude = normalise(flow, known)
    inputs = {"flow": pattern, "magnitude": magnitude}
    if sees_apex:
        picture = np.zeros((len(flow), 1, APEX_PX, APEX_PX), np.float32) if apex is None else apex
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
