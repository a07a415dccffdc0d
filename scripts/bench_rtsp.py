"""The live path on a real RTSP camera: dropped frames, delay, and recovery after the camera was killed.

    python scripts/bench_rtsp.py > rtsp.json

GStreamer's RTSP server (scripts/debian_packages.sh) serves a looped clip at its own rate, which is analysed as by
`merau watch`: undisturbed for `--seconds`, then the server is killed and started again `--kills` times. Prints JSON;
times in ms are from the arrival of a decoded frame to the end of its analysis.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.stream.demo import CLIP
from merau.stream.events import Event
from merau.stream.pipeline import Pipeline
from merau.stream.sources import Frame, Source, SourceSettings, open_source
from scripts.support.remux import repeat_clip
from scripts.support.rtsp_server import RtspServer

DOWN_S = 3.0
BACK_WITHIN_S = 30.0
VERSIONS = ("av", "opencv-python-headless", "ai-edge-litert", "onnxruntime", "numba")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="undisturbed time (default: 60)")
    parser.add_argument("--kills", type=int, default=3, help="how often the server is killed (default: 3)")
    parser.add_argument("--clip", type=Path, default=CLIP, help="an H.264 MP4 (default: the demo clip)")
    parser.add_argument("--transport", choices=("tcp", "udp"), default="tcp", help="(default: tcp)")
    parser.add_argument(
        "--analyse",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="analyse the frames, or only receive them (default: analyse)",
    )
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        clip = repeat_clip(args.clip, args.seconds + 30.0, Path(folder) / "looped.mp4")
        print(json.dumps(bench(clip, args), indent=2))


def bench(clip: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Analyse the camera through the whole scenario; returns the figures."""
    analyse, events = analyser(args.analyse)
    delays_ms: list[float] = []
    scenario: dict[str, Any] = {}
    with RtspServer(clip) as server, open_source(server.url, SourceSettings(transport=args.transport)) as camera:
        director = threading.Thread(target=direct, args=(server, camera, args, delays_ms, scenario), daemon=True)
        director.start()
        for frame in camera:
            analyse(frame)
            delays_ms.append(1000 * (time.monotonic() - frame.arrived_s))
        director.join()
        state = camera.state()
    gaps_s = [[round(from_s, 3), round(to_s, 3)] for from_s, to_s in state.gaps]
    final = [event for event in events if event.final]
    return {
        "host": {"system": platform.platform(), "cores": os.cpu_count(), "load_average": os.getloadavg()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
        "threads": {"decode": 1, "opencv": cv2.getNumThreads()},
        "clip": args.clip.name,
        "transport": args.transport,
        "analysed": args.analyse,
        **scenario,
        "gaps_s": gaps_s,
        "dropped_in_all": state.dropped,
        "events": {
            "before_the_first_gap": sum(event.offset_s <= gaps_s[0][0] for event in final) if gaps_s else len(final),
            "after_the_last_gap": sum(event.onset_s >= gaps_s[-1][1] for event in final) if gaps_s else 0,
        },
    }


def analyser(analyse: bool) -> tuple[Callable[[Frame], None], list[Event]]:
    """Return the function that takes each frame, compiled and warm, and the list that gets its events."""
    if not analyse:
        return lambda frame: None, []
    from merau.engine.recognizer import Recognizer

    recognizer = Recognizer.load()
    with open_source(str(CLIP)) as warming:
        for update in Pipeline("warming", recognizer).run(warming):
            if update.events:
                break
    pipeline = Pipeline("camera", recognizer)
    events: list[Event] = []
    return lambda frame: events.extend(pipeline.process(frame).events), events


def direct(
    server: RtspServer, camera: Source, args: argparse.Namespace, delays_ms: list[float], scenario: dict[str, Any]
) -> None:
    """Let the camera run, then kill and start it again; puts the figures into `scenario` and stops the source."""
    try:
        scenario["undisturbed"] = undisturbed(camera, args.seconds, delays_ms)
        scenario["back_after_s"] = [round(kill_and_start(server, camera), 2) for _ in range(args.kills)]
        time.sleep(5.0)  # events after the last gap
    finally:
        camera.stop()


def undisturbed(camera: Source, seconds: float, delays_ms: list[float]) -> dict[str, float]:
    """Measure rate, drops and delay for some time."""
    before, done_before, cpu_before_s = camera.state(), len(delays_ms), time.process_time()
    for _ in tqdm(range(round(seconds)), desc="undisturbed", unit="s", leave=False, disable=None):
        time.sleep(1.0)
    after, delays = camera.state(), np.array(delays_ms[done_before:])
    return {
        "seconds": round(seconds),
        "frames": after.frames - before.frames,
        "frames_per_s": round((after.frames - before.frames) / round(seconds), 2),
        "analysed": len(delays),
        "dropped": after.dropped - before.dropped,
        "delay_p50_ms": round(float(np.percentile(delays, 50)), 2),
        "delay_p95_ms": round(float(np.percentile(delays, 95)), 2),
        "delay_max_ms": round(float(delays.max()), 2),
        "cpu_ms_per_frame": round(1000 * (time.process_time() - cpu_before_s) / len(delays), 2),
    }


def kill_and_start(server: RtspServer, camera: Source) -> float:
    """Return the seconds between the server's first answer and the first new frame."""
    reconnects = camera.state().reconnects
    server.kill()
    time.sleep(DOWN_S)
    returned_s = server.start()
    while camera.state().reconnects == reconnects:
        if time.monotonic() - returned_s > BACK_WITHIN_S:
            raise RuntimeError(f"The camera was not back within {BACK_WITHIN_S:g} s: {camera.state()}")
        time.sleep(0.005)
    back_s = time.monotonic() - returned_s
    time.sleep(5.0)
    return back_s


if __name__ == "__main__":
    main()
