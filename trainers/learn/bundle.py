"""Export of MERAU as trained stage by stage.

The bundle has a trunk with an apex branch, a head, and a calibration.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as serialize
from safetensors.torch import save_model
from torch import nn

from merau.calib import probability
from merau.calib.quantize import quantize
from merau.engine import bundle, heads
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.preprocess import input_spec
from merau.engine.runtimes.onnx import OnnxTrunk
from merau.trainers.data.synth.action_units import AUS
from merau.trainers.export.bundle import (
    BATCH,
    DOMAIN_SAMPLES,
    RISK,
    WEIGHTS,
    calibrate_aus,
    slice_inputs,
    trunk_inputs,
    write_onnx,
)
from merau.trainers.learn.merau import TrainingPairs, TrainingResult
from merau.trainers.models.merau import CosineClassifier, Merau

GATE_SAMPLES = 256  # held-out samples of the INT8 gate, layer by layer: with ResNet18 this takes minutes and a gigabyte


def write_bundle(trained: TrainingResult, folder: Path, *, name: str, flow: str, trained_on: dict[str, Any]) -> None:
    """Write the bundle for the flow method `flow` into `folder`.

    Quantization ranges come from the training data; temperature, threshold and the scaling of the Action Units from
    the held-out subjects. Raises UserError where INT8 differs too much from FP32.
    """
    model = trained.model.eval()
    training, held_out = (model_inputs(model, pairs) for pairs in (trained.training, trained.held_out))
    fp32, int8 = (folder / bundle.TRUNKS[precision] for precision in ("fp32", "int8"))
    write_onnx(model, fp32, slice_inputs(training, slice(2)))
    batches = [slice_inputs(training, slice(i, i + BATCH)) for i in range(0, len(trained.training), BATCH)]
    gate = slice_inputs(held_out, slice(GATE_SAMPLES))
    report = quantize(fp32, int8, batches, method="percentile", held_out=gate)
    save_model(model, str(folder / WEIGHTS))
    trunk = OnnxTrunk(int8.read_bytes())
    embedding = np.concatenate([trunk.embed(**batch)[0] for batch in batches])
    head = make_head(model, trained.classes, embedding, trained.training.flows.label)
    heads.save(head, folder / bundle.HEAD)
    domain = embedding[np.random.default_rng(0).permutation(len(embedding))[:DOMAIN_SAMPLES]]
    (folder / bundle.DOMAIN).write_bytes(serialize({"embedding": np.ascontiguousarray(domain)}))
    held_out_embedding, unit_logits = trunk.embed(**held_out)
    truth = trained.held_out.flows
    logits, names = head.logits(held_out_embedding), [str(au) for au in AUS]
    accuracy = float((logits.argmax(1) == truth.label).mean())
    card = {
        "name": name,
        "input": input_spec(CropSpec(), (flow,), apex_px=model.apex_px),
        "classes": list(trained.classes),
        "aus": names,
        "calibration": {
            **fit_calibration(logits, truth.label),
            "units": calibrate_aus(names, unit_logits, truth.aus, np.ones(len(truth.label))),
            "int8_cosine": round(report.cost.cosine, 4),
        },
        "trained_on": trained_on,
        "scores": {"kept_back_subjects": {"samples": len(truth.label), "acc": round(accuracy, 3)}},
    }
    bundle.save(folder, card)


def model_inputs(model: Merau, pairs: TrainingPairs) -> dict[str, np.ndarray]:
    """Return the trunk's inputs for `pairs`."""
    return trunk_inputs(model.apex_px, pairs.flows.flow, pairs.apex)


def make_head(model: Merau, classes: tuple[str, ...], embedding: np.ndarray, label: np.ndarray) -> heads.Head:
    """Return the trained classifier as a head of the engine.

    Prototypes are the class means of the training data, `embedding` (N, d) and `label` (N,).
    """
    with torch.no_grad():
        if isinstance(model.classify, nn.Linear):
            return heads.Linear(classes, model.classify.weight.numpy().copy(), model.classify.bias.numpy().copy())
        if isinstance(model.classify, CosineClassifier):
            scale = model.classify.log_scale.exp().numpy().reshape(1)
            return heads.Cosine(classes, heads.unit(model.classify.weight.numpy()), scale)
    return heads.Prototypes.fit(embedding, label, classes)


def fit_calibration(logits: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Fit temperature and threshold for "uncertain".

    They are fitted to `logits` (N, C) of `label` (N,).

    Where no threshold keeps the errors at RISK, every prediction is uncertain.
    """
    temperature = probability.fit_temperature(logits, label)
    try:
        threshold = probability.uncertain_threshold(heads.softmax(logits / temperature), label, risk=RISK)
    except UserError:
        threshold = 1.0
    return {"temperature": temperature, "threshold": threshold, "risk": RISK}
