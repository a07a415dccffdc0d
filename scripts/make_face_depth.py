"""Average the depth of the face mesh over portraits into engine/face_depth.npy, the z of engine.flow.

    python scripts/make_face_depth.py PORTRAIT...

The part that a plane explains is removed, since the fit has its own terms for 1, x and y. The rest is scaled to 0 on
average and 1 at the nose.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from merau.engine.crop import CropSpec, apply, layout_transform
from merau.engine.face_mesh import FaceNets
from merau.engine.flow import DEPTH_CELL_PX, DEPTH_FILE

KERNEL_PX = 6.0


def depths(path: Path, nets: FaceNets, spec: CropSpec) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each face its mesh points (468, 2) in px of the full crop and their heights (468,) above a plane."""
    image = cv2.imread(str(path))
    image = cv2.resize(image, None, fx=(scale := 900 / max(image.shape[:2])), fy=scale)
    image = cv2.copyMakeBorder(image, 150, 150, 150, 150, cv2.BORDER_REPLICATE)
    faces = []
    for detection in nets.detect(image):
        mesh = nets.mesh(image, nets.mesh(image, detection).landmarks)
        if mesh.presence < 0.9:
            continue
        to_crop = layout_transform(mesh.landmarks, spec)
        points = apply(to_crop, mesh.landmarks)
        height = -mesh.landmarks[:, 2] * np.sqrt(np.linalg.det(to_crop[:, :2]))
        plane = np.column_stack([np.ones(len(points)), points])
        faces.append((points, height - plane @ np.linalg.lstsq(plane, height, rcond=None)[0]))
    return faces


def main() -> None:
    """Write the average of all faces."""
    spec, nets = CropSpec(), FaceNets("short")
    faces = [face for name in sys.argv[1:] for face in depths(Path(name), nets, spec)]
    points = np.mean([p for p, _ in faces], axis=0)
    both = np.concatenate([points, (spec.full[1] - 1, 0) + points * (-1, 1)])  # faces are taken as symmetric
    height = np.tile(np.mean([h for _, h in faces], axis=0), 2)
    rows, columns = (
        np.mgrid[0 : spec.full[0] : DEPTH_CELL_PX, 0 : spec.full[1] : DEPTH_CELL_PX] + DEPTH_CELL_PX / 2 - 0.5
    )
    square = (columns[..., None] - both[:, 0]) ** 2 + (rows[..., None] - both[:, 1]) ** 2
    square -= square.min(axis=-1, keepdims=True)  # far from all points, the nearest one decides
    weight = np.exp(-square / (2 * KERNEL_PX**2))
    depth = cv2.GaussianBlur((weight * height).sum(-1) / weight.sum(-1), (0, 0), 1.5)
    np.save(DEPTH_FILE, ((depth - depth.mean()) / (depth.max() - depth.mean())).astype(np.float32))
    print(f"{DEPTH_FILE.name}: mean of {len(faces)} faces")


if __name__ == "__main__":
    main()
