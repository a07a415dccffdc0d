"""`merau analyse` of a folder with one and with several jobs, side by side.

    python scripts/bench_batch.py --files 12 > batch.json

The demo clip is copied under several names, each with a few bytes of its own, so that none is skipped. The runs with
one job and with several take turns. Prints JSON: seconds of each run from its start to its end, and their ratio.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.stream.demo import CLIP
from scripts.support.host import host


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=12, help="recordings (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="jobs to compare with one (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recordings = make_recordings(Path(folder, "in"), arguments.files)
        run(recordings, Path(folder, "first"), 1)  # compiles, and reads the files into memory
        rounds = [
            {jobs: run(recordings, Path(folder, f"{number}-{jobs}"), jobs) for jobs in (1, arguments.jobs)}
            for number in range(arguments.rounds)
        ]
    ratios = [seconds[1]["seconds"] / seconds[arguments.jobs]["seconds"] for seconds in rounds]
    result = {"files": arguments.files, "jobs": arguments.jobs, "rounds": rounds}
    result |= {"ratio": [round(ratio, 3) for ratio in ratios], "median": round(statistics.median(ratios), 3)}
    print(json.dumps(result | {"host": host()}, indent=2))


def make_recordings(folder: Path, count: int) -> Path:
    """Copy the demo clip; what follows its last box differs, and no reader sees it."""
    folder.mkdir()
    for number in range(count):
        free = (16).to_bytes(4) + b"free" + number.to_bytes(8)
        (folder / f"{number:02d}.mp4").write_bytes(CLIP.read_bytes() + free)
    return folder


def run(recordings: Path, out: Path, jobs: int) -> dict[str, Any]:
    """Analyse the folder; returns the seconds that passed, those of the CPU, and the load of the machine before."""
    load = os.getloadavg()[0]
    command = [sys.executable, "-m", "merau", "analyse", str(recordings), "--jobs", str(jobs), "--out", str(out)]
    began, before = time.monotonic(), os.times()
    subprocess.run(command, check=True, capture_output=True)
    seconds, after = time.monotonic() - began, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": round(seconds, 2), "cpu_s": round(cpu_s, 2), "load_before": round(load, 1)}


if __name__ == "__main__":
    main()
