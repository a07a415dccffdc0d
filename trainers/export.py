"""From a trained model to a bundle that the engine runs."""

from pathlib import Path
from typing import Any

import torch

from calib import probability
from calib.quantize import gate, quantize
from engine import bundle, heads
from engine.crop import CropSpec
from engine.recognizer import feeds, normalise
from engine.runtimes.onnx import OUTPUTS, OnnxTrunk
from trainers.data.synth.action_units import AUS
from trainers.data.synth.flows import CLASSES, Flows
from trainers.models.merau import Merau


def export(
    model: Merau, folder: Path, *, name: str, calibration: Flows, trained_on: dict[str, Any], scores: dict[str, Any]
) -> None:
    """Write the bundle. Temperature and threshold are fit on `calibration`, which took no part in training."""
    folder.mkdir(parents=True, exist_ok=True)
    pattern, magnitude = normalise(calibration.flow)
    fp32, int8 = (folder / bundle.TRUNKS[p] for p in ("fp32", "int8"))
    torch.onnx.export(
        model.eval(),
        (torch.from_numpy(pattern[:2]), torch.from_numpy(magnitude[:2])),
        fp32,
        input_names=["flow", "magnitude"],
        output_names=OUTPUTS,
        dynamic_axes={name: {0: "batch"} for name in ("flow", "magnitude", *OUTPUTS)},
        dynamo=False,
    )
    batches = [
        {"flow": pattern[i : i + 50], "magnitude": magnitude[i : i + 50]} for i in range(0, min(1000, len(pattern)), 50)
    ]
    quantize(fp32, int8, batches)
    cosine = gate(fp32.read_bytes(), int8.read_bytes(), {"flow": pattern[-1000:], "magnitude": magnitude[-1000:]})

    classify = model.classify
    head = heads.Linear(CLASSES, classify.weight.detach().numpy(), classify.bias.detach().numpy())
    heads.save(head, folder / bundle.HEAD)
    embedding, _ = OnnxTrunk(int8.read_bytes()).embed(flow=pattern, magnitude=magnitude)
    logits = head.logits(embedding)
    temperature = probability.fit_temperature(logits, calibration.label)
    probabilities = heads.softmax(logits / temperature)
    card = {
        "name": name,
        "input": feeds(CropSpec(), "dis"),
        "classes": list(CLASSES),
        "aus": [str(au) for au in AUS],
        "calibration": {
            "temperature": temperature,
            "threshold": probability.uncertain_threshold(probabilities, calibration.label),
            "risk": 0.10,
            "int8_cosine": round(cosine, 4),
        },
        "trained_on": trained_on,
        "scores": scores,
    }
    bundle.save(folder, card)
