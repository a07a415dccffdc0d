"""Pack an ONNX network as a recognizer bundle and analyse a recording with it; needs `pip install onnx`.

    python examples/own_recognizer.py FOLDER interview.mp4

A trunk maps `flow` (N, 2, 32, 32) and `magnitude` (N, 1) to `embedding` (N, d) and `au_logits` (N, number of Action
Units). This one is not trained: it averages how much the skin moves over a grid of 2 x 2 cells. The head compares the
upper half of the face with the lower one.
"""

import sys
from pathlib import Path

import numpy as np
import onnx.parser

import merau
from merau.engine import bundle, heads
from merau.engine.crop import CropSpec
from merau.engine.preprocess import input_spec

TRUNK = """<ir_version: 9, opset_import: ["" : 17]>
trunk (float[N, 2, 32, 32] flow, float[N, 1] magnitude) => (float[N, 4] embedding, float[N, 2] au_logits)
    <float[4, 2] units = {2, -2, 2, -2, -2, 2, -2, 2}> {
    length = ReduceL2 <axes = [1]> (flow)
    cells = AveragePool <kernel_shape = [16, 16], strides = [16, 16]> (length)
    embedding = Flatten (cells)
    au_logits = MatMul (embedding, units)
}"""

if len(sys.argv) != 3:
    sys.exit(__doc__)
folder, recording = Path(sys.argv[1]), sys.argv[2]
folder.mkdir(exist_ok=True)
trunk = onnx.parser.parse_model(TRUNK)
for name in bundle.TRUNKS.values():  # FP32 and INT8; `merau.calib.quantize` makes the latter of a trained network
    onnx.save(trunk, folder / name)
weight = np.float32([[2, 2, -2, -2], [-2, -2, 2, 2]])  # by class and cell: upper two, lower two
heads.save(heads.Linear(("upper face", "lower face"), weight, np.zeros(2, np.float32)), folder / bundle.HEAD)
card = {
    "name": "halves",
    "input": input_spec(CropSpec(), ["dis"]),
    "classes": ["upper face", "lower face"],
    "aus": ["4", "12"],
    "calibration": {"temperature": 1.0, "threshold": 0.6},  # below the threshold an event is uncertain
    "trained_on": {},
    "scores": {},
}
bundle.save(folder, card)

recognizer = merau.Recognizer.load(folder, device="cpu")
for event in merau.analyse(recording, recognizer=recognizer):
    if event.probabilities:
        print(f"{event.kind} at {event.apex_s:.2f} s: {event.label} ({event.probabilities[event.label]:.0%})")
