"""Speed of the live path, cameras at once, steadiness of the crop, growth of memory. Prints JSON.

    python scripts/bench_live.py                       # speed, stage by stage; residual motion; six cameras for 60 s
    python scripts/bench_live.py --cameras 0           # without cameras
    python scripts/bench_live.py --soak 10             # and ten minutes of video through one pipeline

Speed is measured on the demo clip (640x480, one face, H.264), as fast as possible, from decoding to event, with every
frame analysed. Cameras are real RTSP streams of the looped clip (scripts/debian_packages.sh installs the server), each
with its own pipeline and thread in this process. Residual motion is the motion that the crop of a neutral face still
shows over 0.2 s while the head sways (shift, roll, scale) or turns: the mean length over the face's patches, in px of
the 128-px crop, on clips made by trainers.data.synth.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.engine.crop import CropSpec
from merau.engine.recognizer import Recognizer
from merau.stream.align import Aligner, Crop
from merau.stream.benchmark import run_benchmark
from merau.stream.demo import CLIP
from merau.stream.faces import FaceTracker
from merau.stream.pipeline import FrameResult, Pipeline, PipelineSettings
from merau.stream.sources import Source, SourceSettings, open_source
from merau.stream.spotter.baseline import ParallaxModel
from merau.stream.spotter.features import extract, motion_between, regions
from merau.trainers.data.synth.clips import ClipPlan, HeadMotion, make_clip
from scripts.support.footage import footage
from scripts.support.host import resident_bytes
from scripts.support.remux import repeat_clip
from scripts.support.rtsp_server import RtspServer

LAG_S = 0.2
SETTLED_S = 2.0  # start of each clip, which is left out of the residual
PORTRAITS = ("astronaut.png", "0-f15-hao-ph.jpg", "15-f13-anc-ph.jpg")
HEADS = {  # peaks are about 1.6 times these: 9 px, 3 degrees and 3 %; 5 degrees
    "still": HeadMotion(shift=0, scale=0, roll_deg=0, yaw_deg=0, pitch_deg=0),
    "sway": HeadMotion(shift=0.025, scale=0.02, roll_deg=2.0, yaw_deg=0, pitch_deg=0),
    "yaw": HeadMotion(shift=0, scale=0, roll_deg=0, yaw_deg=3.2, pitch_deg=0),
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=6, help="RTSP cameras at once (default: 6)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they run (default: 60)")
    parser.add_argument(
        "--soak",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="length of the memory test, 2 or more (default: no test)",
    )
    parser.add_argument(
        "--residual",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the residual motion of the alignment (default: yes)",
    )
    parser.add_argument("--clip", type=Path, default=CLIP, help="one face, 640x480, H.264 (default: the demo clip)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    load_average = os.getloadavg()
    recognizer = Recognizer.load()
    for _ in frame_results(recognizer, args.clip, frames=60):  # numba compiles
        pass
    result = run_benchmark(recognizer, PipelineSettings(), args.clip)
    result["host"] |= {"load_average_at_start": load_average}
    result["threads"] = {"decode": 1, "faces": 1, "spotting": 1, "opencv": cv2.getNumThreads()}
    result["run"] = whole(recognizer, args.clip)
    with tempfile.TemporaryDirectory() as folder:
        if args.residual:
            result["residual_px"] = {name: residual(head, Path(folder) / f"{name}.mp4") for name, head in HEADS.items()}
        if args.soak:
            clip = repeat_clip(args.clip, 60 * args.soak + 1.0, Path(folder) / "soak.mp4")
            result["soak"] = soak(recognizer, clip, args.soak)
        if args.cameras:
            clip = repeat_clip(args.clip, args.seconds + 15.0, Path(folder) / "looped.mp4")
            result["cameras"] = cameras(recognizer, clip, args.cameras, args.seconds)
    print(json.dumps(result, indent=2))


def frame_results(recognizer: Recognizer, clip: Path, *, frames: int) -> Iterator[FrameResult]:
    """Yield the frame results of the start of a clip, as `merau analyse` computes them."""
    with open_source(str(clip)) as source:
        for result in Pipeline(clip.name, recognizer).run(source):
            yield result
            if result.frame and result.frame.index + 1 >= frames:
                return


def whole(recognizer: Recognizer, clip: Path) -> dict[str, Any]:
    """Analyse the whole clip as fast as possible, with faces in one thread and spotting in another."""
    began_s, cpu_before_s = time.perf_counter(), time.process_time()
    frames = sum(1 for result in frame_results(recognizer, clip, frames=10**9) if result.frame)
    elapsed_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_before_s
    return {
        "frames": frames,
        "frames_per_s": round(frames / elapsed_s, 1),
        "cpu_ms_per_frame": round(1e3 * cpu_s / frames, 2),  # decoding included
    }


def residual(head: HeadMotion, clip: Path) -> dict[str, Any]:
    """Measure the residual motion of some portraits that only move their head, as median and 95th percentile."""
    fitted: list[float] = []
    personal: list[float] = []
    yaws_deg: list[float] = []
    for seed, portrait in enumerate(PORTRAITS):
        make_clip(footage(portrait), ClipPlan((), duration_s=12.0, motion=head), clip, seed)
        crops = list(_crops(clip))
        yaws_deg += [abs(crop.quality.yaw_deg - crops[0].quality.yaw_deg) for crop in crops]
        by_fit, by_depth = zip(*_left_over(crops), strict=True)
        fitted += by_fit
        personal += by_depth
    return {
        "frames": len(fitted),
        "largest_turn_deg": round(max(yaws_deg), 1),
        "head_motion_removed": _spread(fitted),
        "and_the_persons_own_depth": _spread(personal),  # what the spotter sees
    }


def _crops(clip: Path) -> Iterator[Crop]:
    tracker, aligner = FaceTracker(), Aligner()
    with open_source(str(clip)) as source:
        for frame in source:
            for face in tracker.update(frame):
                if not face.quality.reason:
                    yield aligner.crop(frame, face)


def _left_over(crops: list[Crop]) -> Iterator[tuple[float, float]]:
    """Yield the mean motion of the face's patches over LAG_S in px: after the fit, and after the parallax model."""
    spec = CropSpec()
    face, depth = regions(spec).face, ParallaxModel(regions(spec).face.shape)
    floor = np.full(face.shape, 0.1)
    past = deque([extract(crops[0])])
    last_s = crops[0].t_s
    for crop in crops[1:]:
        now = extract(crop)
        past.append(now)
        while len(past) > 1 and crop.t_s - past[1].crop.t_s >= LAG_S - 1e-3:
            past.popleft()
        seen = motion_between(past[0], now, spec)
        depth.update(seen.patches, seen.turn, floor, crop.t_s - last_s)
        last_s = crop.t_s
        if crop.t_s > SETTLED_S:
            left = depth.remove(seen.patches, seen.turn)
            yield float(np.hypot(*seen.patches)[face].mean()), float(np.hypot(*left)[face].mean())


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(float(np.median(values)), 3), "p95": round(float(np.percentile(values, 95)), 3)}


def cameras(recognizer: Recognizer, clip: Path, count: int, seconds: float) -> dict[str, Any]:
    """Analyse `count` RTSP cameras at once; measured for `seconds`, once all of them deliver frames."""
    delays_ms: list[list[float]] = [[] for _ in range(count)]
    with ExitStack() as stack:
        servers = [stack.enter_context(RtspServer(clip)) for _ in range(count)]
        sources = [open_source(server.url, SourceSettings()) for server in servers]
        threads = [
            threading.Thread(target=_watch, args=(recognizer, source, delays), daemon=True)
            for source, delays in zip(sources, delays_ms, strict=True)
        ]
        for thread in threads:
            thread.start()
        while not all(delays_ms) and all(thread.is_alive() for thread in threads):
            time.sleep(0.1)
        before, cpu_before_s, first = (
            [source.state() for source in sources],
            time.process_time(),
            list(map(len, delays_ms)),
        )
        for _ in tqdm(range(round(seconds)), desc="cameras", unit="s", leave=False, disable=None):
            time.sleep(1.0)
        after, cpu_s = [source.state() for source in sources], time.process_time() - cpu_before_s
        measured = [delays[i:] for delays, i in zip(delays_ms, first, strict=True)]
        for source in sources:
            source.stop()
        for thread in threads:
            thread.join()
    return {
        "seconds": round(seconds),
        "frames": [b.frames - a.frames for a, b in zip(before, after, strict=True)],
        "dropped": [b.dropped - a.dropped for a, b in zip(before, after, strict=True)],
        "dropped_while_starting": [state.dropped for state in before],
        "delay_p50_ms": [round(float(np.percentile(delays, 50)), 1) for delays in measured],
        "delay_p95_ms": [round(float(np.percentile(delays, 95)), 1) for delays in measured],
        "cores_used": round(cpu_s / seconds, 2),
    }


def _watch(recognizer: Recognizer, source: Source, delays_ms: list[float]) -> None:
    pipeline = Pipeline(source.name, recognizer)
    with source:
        for frame in source:
            pipeline.process(frame)
            delays_ms.append(1e3 * (time.monotonic() - frame.arrived_s))


def soak(recognizer: Recognizer, clip: Path, minutes: float) -> dict[str, Any]:
    """Measure the resident memory at each minute of `clip`, which lasts `minutes`, through one pipeline."""
    pipeline = Pipeline("soak", recognizer, keep_pictures=True)
    memory_mb: list[float] = []
    with (
        open_source(str(clip)) as source,
        tqdm(total=round(60 * minutes), desc="soak", unit="s", leave=False, disable=None) as bar,
    ):
        for frame in source:
            pipeline.process(frame)
            bar.update(int(frame.t_s) - bar.n)
            if frame.t_s >= 60 * (len(memory_mb) + 1):
                memory_mb.append(round(resident_bytes() / 2**20, 1))
    return {"minutes": minutes, "resident_mb_by_minute": memory_mb, "grown_mb": round(memory_mb[-1] - memory_mb[0], 1)}


if __name__ == "__main__":
    main()
