"""Face detectors. All return Detections; the mesh that is fitted to them is the same for all."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from merau.engine.errors import UserError
from merau.engine.face_mesh import Detection, FaceNets

Detector = Callable[[np.ndarray], list[Detection]]

INSIGHTFACE_MODELS = Path("~/.insightface/models/buffalo_l")
INSIGHTFACE_SIDE_PX = 640
INSIGHTFACE_SCORE = 0.5
YUNET_SCORE = 0.6


def open_detector(name: str, nets: FaceNets) -> Detector:
    """Open the detector that FaceSettings.detector names.

    Raises:
        UserError: Its package or its model is missing.
    """
    kind, _, path = name.partition(":")
    if kind == "insightface":
        return _insightface()
    if kind == "yunet":
        return _yunet(Path(path).expanduser())
    return nets.detect


def _insightface() -> Detector:
    """SCRFD (Guo et al., 2021, arXiv:2105.04714) by insightface; nothing is downloaded without the user's consent."""
    try:
        from insightface.app import FaceAnalysis
    except ImportError as error:
        raise UserError(
            "--faces insightface needs the package insightface ({reason}): install merau-live[faces], or use --faces"
            " short or wide.",
            reason=str(error),
        ) from error
    models = INSIGHTFACE_MODELS.expanduser()
    if not any(models.glob("*.onnx")):
        raise UserError(
            "--faces insightface finds no models in {folder}. They are for non-commercial use only; if yours is, fetch"
            """ them once with: python -c "from insightface.app import FaceAnalysis; FaceAnalysis()". Otherwise use"""
            " --faces short or wide.",
            folder=str(models),
        )
    try:
        analysis = FaceAnalysis(name=str(models), allowed_modules=["detection"], providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many kinds
        raise UserError(
            "insightface cannot load its models in {folder} ({reason}): delete that folder and fetch them again.",
            folder=str(models),
            reason=str(error),
        ) from error
    analysis.prepare(ctx_id=-1, det_thresh=INSIGHTFACE_SCORE, det_size=(INSIGHTFACE_SIDE_PX, INSIGHTFACE_SIDE_PX))

    def detect(bgr: np.ndarray) -> list[Detection]:
        faces = analysis.get(bgr)
        return _best_first([Detection(face.bbox, face.kps, float(face.det_score)) for face in faces])

    return detect


def _yunet(path: Path) -> Detector:
    """YuNet (Wu et al., Machine Intelligence Research, 2023) by OpenCV, from a user's own ONNX file."""
    if not path.is_file():
        raise UserError("There is no YuNet model at {file}: use --faces yunet:PATH with its ONNX file.", file=str(path))
    try:
        net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), YUNET_SCORE)
    except cv2.error as error:
        raise UserError(
            "OpenCV cannot read {file} as a YuNet model: use an ONNX file of YuNet.", file=str(path)
        ) from error

    def detect(bgr: np.ndarray) -> list[Detection]:
        net.setInputSize(bgr.shape[1::-1])
        _, rows = net.detect(bgr)  # x, y, width, height, five points, score
        rows = np.empty((0, 15), np.float32) if rows is None else rows
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        points = rows[:, 4:14].reshape(-1, 5, 2)
        return _best_first([Detection(*face) for face in zip(boxes, points, rows[:, 14].tolist(), strict=True)])

    return detect


def _best_first(detections: list[Detection]) -> list[Detection]:
    return sorted(detections, key=lambda detection: -detection.score)
