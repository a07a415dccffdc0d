"""Make twelve short "interviews" of an animated face, as a researcher may have them on her disk.

    python examples/interviews/make_recordings.py interviews

Each of five participants is recorded at rest (head movements only) and under stress (micro-expressions). The files are
as uneven as real ones: one from a phone held upright, one in HEVC, one with an uneven frame rate, and two recordings of
a sixth participant of which one breaks off and one shows no face. What the faces really do is written to truth.csv.

The faces are synthetic: figures from them say nothing about real people.
"""

import argparse
import csv
from pathlib import Path

import av
import numpy as np

from merau.trainers.data.synth.clips import ASTRONAUT, make_clip, random_plan

CONDITIONS = {"rest": "neutral", "stress": "micro"}  # and what the face does


def main() -> None:
    """Make the recordings and their truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the recordings go")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each (default: %(default)s)")
    parser.add_argument("--people", type=int, default=5, help="participants that are whole (default: %(default)s)")
    arguments = parser.parse_args()
    rows = []
    for person in range(1, arguments.people + 1):
        for number, condition in enumerate(CONDITIONS):
            path = arguments.folder / f"P{person:02d}" / f"{condition}.mp4"
            spans = animate(path, CONDITIONS[condition], arguments.seconds, seed=10 * person + number)
            rows += [[f"{path.parent.name}/{path.name}", *span] for span in spans]
    make_uneven(arguments.folder)
    rows.append([f"P{arguments.people + 1:02d}/stress.mp4", "", "", "", "", ""])  # nothing happens where nobody is
    with (arguments.folder / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["recording", "kind", "class", "onset_s", "apex_s", "offset_s"], *rows])


def animate(path: Path, kind: str, seconds: float, seed: int) -> list[list[object]]:
    """Make one recording; returns kind, class, onset, apex and offset of each movement."""
    path.parent.mkdir(parents=True, exist_ok=True)
    jitter = 0.2 if seed == 31 else 0.0  # a camera whose frames come unevenly
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, kind, peak_px=1.8, duration_s=seconds, rate=30.0, jitter=jitter)
    truth = make_clip(ASTRONAUT, plan, path, seed)
    path.with_suffix(".truth.json").unlink()
    return [[s["kind"], s["label"], s["onset_s"], s["apex_s"], s["offset_s"]] for s in truth["spans"]]


def make_uneven(folder: Path) -> None:
    """Turn one recording upright, encode one in HEVC, and add one that breaks off and one without a face."""
    encode(folder / "P01/stress.mp4", folder / "P01/stress.mov", "libx264", turned=True)
    (folder / "P01/stress.mp4").unlink()
    encode(folder / "P01/rest.mp4", folder / "P01/rest.mkv", "libx265")
    (folder / "P01/rest.mp4").unlink()
    last = folder / f"P{len(list(folder.glob('P*'))) + 1:02d}"
    last.mkdir()
    data = (folder / "P01/stress.mov").read_bytes()
    (last / "rest.mp4").write_bytes(data[: len(data) // 2])
    encode(folder / "P01/stress.mov", last / "stress.mp4", "libx264", blank=True)


def encode(source: Path, target: Path, codec: str, *, turned: bool = False, blank: bool = False) -> None:
    """Encode a recording again: turned as a phone records it, or as an empty wall."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        quiet = {"x265-params": "log-level=error"} if codec == "libx265" else {}
        video = written.add_stream(codec, rate=30, options={"crf": "20", "preset": "veryfast"} | quiet)
        for frame in read.decode(video=0):
            image = frame.to_ndarray(format="bgr24")
            image = np.full_like(image, 120) if blank else np.ascontiguousarray(np.rot90(image)) if turned else image
            if not video.width or frame.pts == 0:
                video.height, video.width = image.shape[:2]
                video.pix_fmt = "yuv420p"
                video.codec_context.time_base = frame.time_base
                if turned:
                    video.set_display_rotation(270)
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture.pts, picture.time_base = frame.pts, frame.time_base
            written.mux(video.encode(picture))
        written.mux(video.encode(None))


if __name__ == "__main__":
    main()
