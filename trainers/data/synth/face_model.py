"""True faces: neutral shape, identities and FACS shapes of ICT-FaceKit's light face model.

The model is made of light-stage scans of real people: Li et al., Learning Formation of Physically-Based Face Attributes
(2020). It is read from a user's own copy, and only figures derived from it are part of this project.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merau.engine.errors import UserError

VERTICES = 11248  # face, head and neck come first; mouth socket, eyeballs and teeth follow
NEUTRAL = "generic_neutral_mesh.obj"


@dataclass(frozen=True)
class FaceModel:
    """Vertices in cm: x to the person's left, y up, z forward.

    Attributes:
        neutral: (V, 3) float32, the mean face.
        quads: (Q, 4) int, vertices of each face of the mesh.
        shapes: Offsets (V, 3) float32 of each FACS shape at full strength, by its name.
        identities: (I, V, 3) float32, offsets of one standard deviation each.
    """

    neutral: np.ndarray
    quads: np.ndarray
    shapes: dict[str, np.ndarray]
    identities: np.ndarray


def read_face_model(path: Path) -> FaceModel:
    """Return the model in `path`.

    Args:
        path: ICT-FaceKit's folder or its FaceXModel with OBJ files, or an .npz file with `neutral`, `quads`,
            `expressions`, `expression_names` and `identities`.

    Raises:
        UserError: `path` holds no such model.
    """
    if path.is_dir():
        return _read_folder(path / "FaceXModel" if (path / "FaceXModel").is_dir() else path)
    try:
        with np.load(path) as arrays:
            shapes = zip(arrays["expression_names"].tolist(), arrays["expressions"].astype(np.float32), strict=True)
            return FaceModel(
                arrays["neutral"].astype(np.float32),
                arrays["quads"].astype(np.int64),
                dict(shapes),
                arrays["identities"].astype(np.float32),
            )
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            "{path} holds no face model: give ICT-FaceKit's folder, or an .npz file made of it.", path=path
        ) from error


def _read_folder(folder: Path) -> FaceModel:
    if not (folder / NEUTRAL).is_file():
        raise UserError("{folder} lacks {file}: give the folder of ICT-FaceKit.", folder=folder, file=NEUTRAL)
    neutral, quads = _read_obj(folder / NEUTRAL)
    offsets = {file.stem: _read_obj(file)[0] - neutral for file in sorted(folder.glob("*.obj")) if file.name != NEUTRAL}
    identities = [offset for name, offset in offsets.items() if name.startswith("identity")]
    if not identities:
        raise UserError("{folder} lacks identity000.obj and its like: give the folder of ICT-FaceKit.", folder=folder)
    shapes = {name: offset for name, offset in offsets.items() if not name.startswith("identity")}
    return FaceModel(neutral, quads, shapes, np.stack(identities))


def _read_obj(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3) float32 and quads (Q, 4) of the face, head and neck in an OBJ file."""
    vertices: list[list[float]] = []
    quads: list[list[int]] = []
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            kind, *values = line.split() or [""]
            if kind == "v" and len(vertices) < VERTICES:
                vertices.append([float(value) for value in values[:3]])
            elif kind == "f":
                quads.append([int(value.split("/")[0]) - 1 for value in (values + values[-1:])[:4]])
    except (OSError, ValueError) as error:
        raise UserError("{file} is not an OBJ file that can be read.", file=file) from error
    inside = [quad for quad in quads if max(quad) < VERTICES]
    return np.array(vertices, np.float32), np.array(inside, np.int64).reshape(-1, 4)
