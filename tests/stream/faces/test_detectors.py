"""Detectors other than the built-in ones."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.stream.faces.detectors import open_detector
from merau.stream.faces.settings import FaceSettings


def test_yunet_rows_become_detections(tmp_path):
    """A net of YuNet's form that always sees one face: round 160, 136, 64 x 80 px."""
    path = tmp_path / "yunet.onnx"
    onnx.save(yunet_that_sees_one_face(), str(path))
    (detection,) = open_detector(f"yunet:{path}", FaceNets())(np.zeros((320, 320, 3), np.uint8))
    np.testing.assert_allclose(detection.box, [136, 96, 200, 176], atol=0.1)
    np.testing.assert_allclose(detection.keypoints[:3], [[144, 112], [176, 112], [160, 128]], atol=0.1)
    assert detection.score == pytest.approx(0.9)


def yunet_that_sees_one_face(side=320, stride_of_face=16, cell=8 * 20 + 10):
    face = {
        "cls": [0.9],
        "obj": [0.9],
        "bbox": [0.5, 0.5, np.log(4), np.log(5)],
        "kps": [-1, -1, 1, -1, 0, 0, -1, 1, 1, 1],
    }
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
    ]
    outputs, constants = [], []
    for kind, values in face.items():
        for stride in (8, 16, 32):
            cells = (side // stride) ** 2
            rows = np.zeros((1, 1, cells, len(values)), np.float32)
            if stride == stride_of_face:
                rows[0, 0, cell] = values
            name, shape = f"{kind}_{stride}", [1, cells, len(values)]
            constants.append(numpy_helper.from_array(rows, f"{name}_rows"))
            constants.append(numpy_helper.from_array(np.array(shape), f"{name}_shape"))
            nodes += [
                helper.make_node("Add", ["nothing", f"{name}_rows"], [f"{name}_all"]),
                helper.make_node("Reshape", [f"{name}_all", f"{name}_shape"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])
    graph = helper.make_graph(nodes, "yunet", [image], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(
    ("detector", "sentence"),
    [
        ("yunet:/nowhere/net.onnx", "There is no YuNet model at /nowhere/net.onnx"),
        (f"yunet:{Path(__file__)}", "cannot read"),
        ("insightface", "--faces short or wide"),
    ],
)
def test_missing_detector_raises_one_sentence(detector, sentence, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # where insightface has no models
    with pytest.raises(UserError, match=sentence):
        open_detector(detector, FaceNets())


@pytest.mark.parametrize("detector", ["retina", "yunet:"])
def test_unknown_detector_raises(detector):
    with pytest.raises(UserError, match="choose short, wide, insightface, or yunet:PATH"):
        FaceSettings(detector=detector)
