"""Processor time, speed, start and memory of this build, beside those of an older one and of MediaPipe. Prints JSON.

    python scripts/bench_speed.py                           # this build alone
    python scripts/bench_speed.py --against 65f10c2         # and its ratio to that revision
    python scripts/bench_speed.py --peer mediapipe          # and to MediaPipe's FaceMesh on the same frames

The other build lies in `build/speed` with an environment of its own, and stays there. All take turns on the same clip,
A B A B ...: what else the machine does then changes both. Processor time is that of the whole process as the system
counts it, start included; it depends little on other load, while frames/s, start and p95 do. A ratio is the median of
the ratios of the turns, with the least and the largest.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import av
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.stream.demo import CLIP
from scripts.support.host import host

ROOT = Path(__file__).parents[1]
BUILDS = ROOT / "build" / "speed"
START_FRAMES, WATCH_FRAMES = 2, 150
MEDIAPIPE = "mediapipe==0.10.21"
FACE_MESH = """
import sys, cv2, mediapipe
video = cv2.VideoCapture(sys.argv[1])
with mediapipe.solutions.face_mesh.FaceMesh(max_num_faces=1) as mesh:
    while (read := video.read())[0]:
        mesh.process(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
"""

Figures = dict[str, float]


@dataclass(frozen=True)
class Build:
    """A build of merau: its folder, and the Python that runs it."""

    python: Path
    root: Path

    def call(self, *arguments: str | Path) -> tuple[float, float, float, str]:
        """Run a command of `merau`; see `measure`."""
        package = "merau.stream.cli" if (self.root / "merau").exists() else "stream.cli"
        return measure([self.python, "-m", package, *arguments], os.environ | {"PYTHONPATH": str(self.root)})


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REV", help="also measure this revision (default: none)")
    parser.add_argument("--peer", choices=("mediapipe",), help="also measure this library (default: none)")
    parser.add_argument("--stages", action="store_true", help="also run `merau bench`: p95 of a frame, and a pair")
    parser.add_argument("--pairs", type=int, default=7, help="turns of each build (default: 7)")
    parser.add_argument("--clip", type=Path, default=CLIP, help="a video of one face (default: the demo clip)")
    args = parser.parse_args()
    builds = {"this": Build(Path(sys.executable), ROOT)}
    if args.against:
        builds[args.against] = check_out(args.against)
    peer = environment("mediapipe", [MEDIAPIPE]) if args.peer else None
    with tempfile.TemporaryDirectory() as folder:
        start = shorten(args.clip, START_FRAMES, Path(folder) / "start.mp4")
        watched = shorten(args.clip, WATCH_FRAMES, Path(folder) / "watched.mp4")
        for build in builds.values():
            build.call("analyse", args.clip, "--json")  # numba compiles
        turns: list[dict[str, Figures]] = []
        for _ in tqdm(range(args.pairs), unit="turn", disable=None):
            turns.append(
                {name: figures(build, args.clip, start, watched, stages=args.stages) for name, build in builds.items()}
            )
            if peer:
                turns[-1][args.peer] = peer_figures(peer, args.clip)
    report = {name: spread(turn[name] for turn in turns) for name in turns[0]}
    ratios = {name: spread(ratio(turn["this"], turn[name]) for turn in turns) for name in turns[0] if name != "this"}
    print(json.dumps({"host": host(), "turns": args.pairs, "figures": report, "this_over": ratios}, indent=2))


def figures(build: Build, clip: Path, start: Path, watched: Path, *, stages: bool) -> Figures:
    """Measure one build once."""
    with tempfile.TemporaryDirectory() as folder:
        store = ("--store", Path(folder) / "merau.db")
        cpu_s, wall_s, _, _ = build.call("analyse", clip, "--json")
        start_cpu_s, start_s, _, _ = build.call("watch", start, *store)
        _, _, peak_mb, _ = build.call("watch", watched, *store)
    frames = count_frames(clip)
    measured = {
        "cpu_ms_per_frame": 1e3 * cpu_s / frames,
        "frames_per_s": frames / wall_s,
        "start_to_first_frames_s": start_s,
        "start_to_first_frames_cpu_s": start_cpu_s,
        "watch_peak_mb": peak_mb,
    }
    return measured | stage_figures(build) if stages else measured


def stage_figures(build: Build) -> Figures:
    """Read two figures of `merau bench`."""
    bench = json.loads(build.call("bench", "--json")[3])
    return {
        "frame_p95_ms": bench["pipeline"]["p95_ms"],
        "pair_ms": bench["stages"]["recognize"]["median_ms"],
    }


def peer_figures(python: Path, clip: Path) -> Figures:
    """Measure MediaPipe's FaceMesh alone on the frames of `clip`."""
    cpu_s, wall_s, _, _ = measure([python, "-c", FACE_MESH, clip], dict(os.environ))
    frames = count_frames(clip)
    return {"cpu_ms_per_frame": 1e3 * cpu_s / frames, "frames_per_s": frames / wall_s}


def measure(command: list[str | Path], variables: dict[str, str]) -> tuple[float, float, float, str]:
    """Run a program: processor time in s, time in s, largest resident memory in MB, and what it printed."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began_s = time.perf_counter()
        process = subprocess.Popen(command, cwd=tempfile.gettempdir(), env=variables, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0), errors.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{errors.read()}")
        return usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024, output.read()


def spread(turns: Iterable[Figures]) -> dict[str, list[float]]:
    """Median, least and largest of each figure."""
    listed = list(turns)
    values = {name: [turn[name] for turn in listed] for name in listed[0]}
    return {name: [round(x, 3) for x in (median(all), min(all), max(all))] for name, all in values.items()}


def ratio(this: Figures, other: Figures) -> Figures:
    """Divide the figures that both have."""
    return {name: this[name] / other[name] for name in other}


def check_out(revision: str) -> Build:
    """Unpack a revision into `build/speed`, with an environment of its own."""
    commit = git("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
    tree = BUILDS / commit / "tree"
    if not tree.exists():
        tree.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", tree], input=git("archive", commit), check=True)
    return Build(environment(f"{commit}/venv", ["--constraint", str(tree / "constraints.txt"), str(tree)]), tree)


def environment(name: str, install: list[str]) -> Path:
    """Return the Python of an environment in `build/speed`, made at first use."""
    folder = BUILDS / name
    done = folder / "installed"
    if not done.exists():
        print(f"Installing {install[-1]} into {folder} (once)", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *install], check=True)
        done.touch()
    return folder / "bin" / "python"


def git(*arguments: str) -> bytes:
    """Return what git prints."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def count_frames(clip: Path) -> int:
    """Count the coded frames."""
    with av.open(str(clip)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def shorten(clip: Path, frames: int, target: Path) -> Path:
    """Copy the first frames without encoding them again; returns `target`."""
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in islice(source.demux(video=0), frames):
            packet.stream = stream
            out.mux(packet)
    return target


if __name__ == "__main__":
    main()
