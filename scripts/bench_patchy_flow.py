"""What makes flow patchy: `python scripts/bench_patchy_flow.py` prints JSON.

Frames of the animated astronaut, from onset to apex with a little head motion, get sensor noise and are compressed. The
flow between the first and the last frame is measured and averaged to 28 x 28 cells; the true motion is beside it.
Statistics are those of trainers/data/synth/statistics.py; real flow has a kurtosis of about 7 (u) and 9 (v).
"""

import io
import json
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import cv2
import numpy as np
from skimage.registration import optical_flow_tvl1
from tqdm import tqdm

from merau.engine.crop import CropSpec, crop_face, layout_transform
from merau.engine.face_mesh import FaceNets
from merau.engine.flow import flow
from merau.trainers.data.synth.action_units import CODED
from merau.trainers.data.synth.clips import ASTRONAUT
from merau.trainers.data.synth.faces import draw_skin
from merau.trainers.data.synth.image_pairs import FRAME, draw_channels, draw_poses, read_faces
from merau.trainers.data.synth.portrait import Portrait
from merau.trainers.data.synth.statistics import REAL_SHARES, flow_statistics
from merau.trainers.data.synthetic_set import between

PAIRS, SEED, STEPS = 40, 3, 7
SPEC = CropSpec(size_px=168)
CRF = (18, 23, 28)  # of H.264: visually lossless, x264's default, as streams have it
SHOWN = ("beyond_8", "kurtosis", "head_share", "symmetric")


def main() -> None:
    """Print the statistics of each compression and flow method."""
    cv2.setNumThreads(1)
    rng, face = np.random.default_rng(SEED), read_faces([ASTRONAUT], FaceNets())[0]
    found: dict[str, list[np.ndarray]] = {}
    for _ in tqdm(range(PAIRS), unit="pair"):
        frames, truth, matrix = draw_frames(rng, face)
        noisy = [np.clip(frame + rng.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
        found.setdefault("true motion", []).append(cells(truth))
        for name, (onset, apex) in compressions(noisy).items():
            pair = [np.ascontiguousarray(grey(frame, matrix)) for frame in (onset, apex)]
            for method, measured in methods(*pair).items():
                found.setdefault(f"{name}, {method}", []).append(cells(measured))
    figures = {name: rounded(np.stack(fields)) for name, fields in found.items()}
    print(json.dumps({"host": platform.platform(), "opencv": cv2.__version__, "pairs": PAIRS, **figures}, indent=2))


def draw_frames(rng: np.random.Generator, face: object) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Draw frames from onset to apex, the true motion (2, S, S) in the crop, and the crop's matrix."""
    skin = draw_skin(rng, "mixed")
    portrait = Portrait(face.picture, face.landmarks, size=FRAME, face_px=rng.uniform(170, 230), bumps=skin)
    matrix = layout_transform(portrait.landmarks, SPEC)
    channels, _, _ = draw_channels(rng, skin, int(rng.choice(3, p=REAL_SHARES)), "", CODED)
    at, moved = draw_poses(rng, np.exp(rng.uniform(np.log(0.1), np.log(0.6))))
    frames = [
        portrait.frame({name: share * amount for name, amount in channels.items()}, between(at, moved, share))
        for share in np.linspace(0, 1, STEPS)
    ]
    height, width = SPEC.full
    dense = portrait.flow(({}, at), (channels, moved))
    truth = np.stack([cv2.warpAffine(axis, matrix, (width, height))[SPEC.inner] for axis in dense])
    return frames, truth, matrix


def compressions(frames: list[np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return first and last of `frames` (H, W, 3), as they are and compressed."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 60]
    jpeg = [cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR) for frame in frames[:: STEPS - 1]]
    coded = {f"H.264 CRF {crf}": h264(frames, crf) for crf in CRF}
    shown = {"noise alone": frames, "JPEG 60": jpeg, **coded}
    return {name: (pictures[0], pictures[-1]) for name, pictures in shown.items()}


def h264(frames: list[np.ndarray], crf: int) -> list[np.ndarray]:
    """Return `frames` after H.264."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=100, options={"preset": "veryfast", "crf": str(crf)})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "bgr24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def grey(frame: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the inner square of the crop of a frame."""
    return crop_face(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), matrix, SPEC)[SPEC.inner]


def methods(onset: np.ndarray, apex: np.ndarray) -> dict[str, np.ndarray]:
    """Return the flow (2, S, S) px by each method."""
    v, u = optical_flow_tvl1(onset / np.float32(255), apex / np.float32(255), num_warp=5, num_iter=10)
    ours = {name: flow(onset, apex, method=name) for name in ("dis", "farneback")}
    return {**ours, "TV-L1": np.stack([u, v])}


def cells(field: np.ndarray) -> np.ndarray:
    """Average a flow (2, S, S) to (2, 28, 28)."""
    return np.stack([cv2.resize(axis.astype(np.float32), (28, 28), interpolation=cv2.INTER_AREA) for axis in field])


def rounded(fields: np.ndarray) -> dict[str, dict[str, float]]:
    """Return the statistics of fields (N, 2, 28, 28) that SHOWN names."""
    found = flow_statistics(fields.astype(np.float64))
    return {channel: {name: round(float(found[channel][name]), 3) for name in SHOWN} for channel in "uv"}


if __name__ == "__main__":
    main()
