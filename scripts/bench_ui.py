"""Delays of a visitor's webcam: Chromium with a fake camera that plays the demo clip, on the machine of the server.

    python scripts/bench_ui.py                 # at 30 and at 60 frames/s
    python scripts/bench_ui.py --soak 20       # memory of server and page over 20 minutes of live view

Needs playwright (pip install -e '.[dev]') and Debian's chromium (scripts/debian_packages.sh). Prints JSON.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from playwright.sync_api import Page, sync_playwright
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.engine.recognizer import Recognizer
from merau.stream.demo import CLIP
from merau.stream.events import Event
from merau.stream.pipeline import Pipeline
from merau.stream.sources import File, SourceSettings
from merau.stream.store import read_events
from merau.stream.ui.config import UiSettings
from merau.stream.ui.server import App
from scripts.support.host import resident_bytes
from scripts.support.remux import repeat_clip

PASS_S = 28.0  # length of the clip, which the fake camera repeats
CLIP_HZ = 30
BITS, CELL_PX = 11, 16  # the frame number is drawn into the corner of each frame, one cell a bit
NOTE = """() => {
    window.shown = [];
    merau.onShown = (camera, header) => {
        const { data } = document.querySelector(".tile canvas").getContext("2d").getImageData(0, 8, 176, 1);
        let number = 0;
        for (let bit = 0; bit < 11; bit++) number |= (data[4 * (16 * bit + 8)] > 128) << bit;
        window.shown.push([header.t_s, merau.webcam.age_ms(header.t_s), number]);
    };
}"""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FLAGS += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--rates", type=int, nargs="+", default=[30, 60], help="frames/s of the camera (default: 30 60)"
    )
    parser.add_argument(
        "--soak", type=float, default=0.0, metavar="MINUTES", help="test the memory of a live view instead"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    result: dict[str, Any] = {"host": host()}
    with tempfile.TemporaryDirectory(prefix="bench-ui-") as folder:
        if arguments.soak:
            result["soak"] = soak(Path(folder), arguments.soak)
        else:
            result["webcam"] = [webcam(Path(folder), rate) for rate in arguments.rates]
    print(json.dumps(result, indent=1))
    return 0


def host() -> dict[str, Any]:
    """Describe the machine and the versions."""
    names = ("gradio", "websockets", "av", "opencv-python-headless", "onnxruntime", "playwright")
    chromium = subprocess.run(["chromium", "--version"], capture_output=True, text=True).stdout.strip()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "chromium": chromium.split(" built")[0],
        "versions": {name: version(name) for name in names},
    }


def webcam(folder: Path, rate: int) -> dict[str, Any]:
    """Send the demo clip through the browser: rates, delays, gaps, and its events compared with those of the file."""
    video = camera_file(folder, rate)
    app = App([], Recognizer.load, UiSettings(port=0), store=folder / f"{rate}.db")
    try:
        with sync_playwright() as playwright:
            flags = [*FLAGS, f"--use-file-for-fake-video-capture={video}"]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
            page = browser.new_page()
            page.goto(app.address)
            start_webcam(page)
            workspace = next(iter(app.state.clients.values())).workspace
            for _ in tqdm(range(int(PASS_S) + 2), desc=f"{rate} frames/s", unit=" s"):
                page.wait_for_timeout(1000)
            shown = np.array(page.evaluate("window.shown"))
            skipped = page.evaluate("merau.webcam.skipped")
            (camera,) = workspace.cameras.values()
            status = camera.status()
            page.evaluate("merau.webcam.stop()")
            while workspace.cameras:
                page.wait_for_timeout(200)
            events = list(read_events(workspace.store.path))
            browser.close()
    finally:
        app.close()
    steady = shown[shown[:, 0] > 5]  # the first seconds compile and find the face
    delays = np.percentile(steady[:, 1], [50, 95]).round(1).tolist()
    span_s = float(shown[-1, 0] - shown[0, 0])
    return {
        "camera_hz": rate,
        "captured_hz": round(status["frames"] / span_s, 1),
        "analysed_hz": round(status["analysed"] / span_s, 1),
        "dropped": status["dropped"],
        "skipped_in_browser": skipped,
        "capture_to_shown_ms_p50_p95": delays,
        "gaps_over_two_frames": int((np.diff(steady[:, 0]) > 2.5 / rate).sum()),
        "micro": compare(events, events_of_file(video), shown[:, 0], shown[:, 2] / rate),
    }


def start_webcam(page: Page) -> None:
    """State a purpose, start the webcam, and record when each analysed frame is shown."""
    page.get_by_role("button", name="Start my webcam").click()
    page.get_by_label("Purpose of the analysis").fill("benchmark")
    page.get_by_label("Everyone in view has been informed and agrees").check()
    page.evaluate(NOTE)
    page.get_by_role("button", name="Start the analysis").click()
    page.wait_for_function("window.shown.length > 0", timeout=60_000)


def camera_file(folder: Path, rate: int) -> Path:
    """Write the clip at `rate` for the fake camera, with its number in the corner of each frame.

    On a busy machine the camera plays slowly; the number shows where in the clip it is.
    """
    path = folder / f"camera{rate}.y4m"
    with av.open(str(CLIP)) as source, path.open("wb") as out:
        out.write(f"YUV4MPEG2 W640 H480 F{rate}:1 Ip A1:1 C420jpeg\n".encode())
        number = 0
        for picture in source.decode(video=0):
            planes = picture.reformat(format="yuv420p").to_ndarray()
            for _ in range(round(rate / CLIP_HZ)):
                for bit in range(BITS):
                    planes[:CELL_PX, bit * CELL_PX : (bit + 1) * CELL_PX] = 235 if number >> bit & 1 else 16
                out.write(b"FRAME\n" + planes.tobytes())
                number += 1
    return path


def events_of_file(video: Path) -> list[Event]:
    """Return the events of the frames that the camera shows.

    At 60 frames/s each frame of the clip comes twice, which alone moves an apex.
    """
    with File(str(video), SourceSettings()) as source:
        results = list(Pipeline("file", Recognizer.load()).run(source))
    return [event for result in results for event in result.events if event.final]


def compare(seen: list[Event], known: list[Event], t_s: np.ndarray, clip_s: np.ndarray) -> dict[str, Any]:
    """Compare micro-expressions of the webcam with the file's; at webcam time `t_s` the clip was at `clip_s`."""
    turns = np.flatnonzero(np.diff(clip_s) < -1)  # where the clip started again
    first = slice(0, turns[0] + 1 if len(turns) else None)
    of_seen = [float(np.interp(e.apex_s, t_s[first], clip_s[first])) for e in seen if within(e, t_s[first])]
    of_known = [event.apex_s for event in known if event.kind == "micro"]
    nearest = [min((seen_s - known_s for seen_s in of_seen), key=abs, default=9.0) for known_s in of_known]
    found = [residue for residue in nearest if abs(residue) < 0.2]
    return {
        "of_the_file": len(of_known),
        "before_the_analysis_began": int((np.array(of_known) < clip_s[0]).sum()),
        "found_by_webcam": len(found),
        "more_by_webcam": len(of_seen) - len(found),
        "apex_differs_ms": [round(1000 * residue, 1) for residue in found],
    }


def within(event: Event, t_s: np.ndarray) -> bool:
    """Return whether the event is a micro-expression with its apex in the range of times."""
    return event.kind == "micro" and bool(t_s[0] <= event.apex_s <= t_s[-1])


def soak(folder: Path, minutes: float) -> dict[str, Any]:
    """Measure the memory of the server and of the page while two viewers watch a camera for `minutes`."""
    long = repeat_clip(CLIP, 60 * minutes + PASS_S, folder / "long.mp4")
    app = App([str(long)], Recognizer.load, UiSettings(port=0), store=folder / "soak.db")
    rows = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            pages = [browser.new_page(), browser.new_page()]
            for page in pages:
                page.goto(app.address)
            sessions = [page.context.new_cdp_session(page) for page in pages]
            for minute in tqdm(range(int(minutes) + 1), desc="soak", unit=" min"):
                heaps = [round(session.send("Runtime.getHeapUsage")["usedSize"] / 1e6, 1) for session in sessions]
                (status,) = app.state.shared.statuses()
                row = {"minute": minute, "server_mb": round(resident_bytes() / 1e6, 1), "page_heaps_mb": heaps}
                rows.append(row | {"analysed_hz": status["analysed_hz"], "dropped": status["dropped"]})
                if minute < int(minutes):
                    pages[0].wait_for_timeout(60_000)
            browser.close()
    finally:
        app.close()
    return {"viewers": 2, "minutes": minutes, "rows": rows}


if __name__ == "__main__":
    sys.exit(main())
