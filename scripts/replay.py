"""Check that two revisions give the same events, exports and stores for the same clips.

    python scripts/replay.py clips CLIPS              # the demo clip, bench_spot's clips of seed 1000, real footage
    python scripts/replay.py record CLIPS OUT         # analyse all of them with this checkout
    python scripts/replay.py record CLIPS OUT --checkout DIR
    python scripts/replay.py compare BEFORE AFTER     # exit code 1 and the differences, or 0

`compare` ignores what differs between two runs of one build: when a run took place and how long it took.
Names that were changed on purpose are listed in RENAMED.
"""

import argparse
import contextlib
import difflib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOOTAGE = ("single_face.mp4", "no_face.mp4", "face_noface.mov", "noface_face.mov", "WolfgangLanger_Pexels.mp4")
COMPARED = (".json", ".jsonl", ".csv", ".eaf", ".vtt", ".sql")

# (pattern, replacement) applied to both sides: what a second run of the same build changes.
VOLATILE = (
    (r'"elapsed_s": [\d.]+', '"elapsed_s": 0'),
    (r'DATE="[^"]*"', 'DATE=""'),
    (r"(INSERT INTO \"sessions\" VALUES\(\d+,'[^']*',)'[^']*','[^']*'", r"\1'',''"),
)
# (pattern, replacement) applied to the older side: names that were changed on purpose, each listed in CHANGELOG.md.
RENAMED: tuple[tuple[str, str], ...] = (
    ("CREATE TABLE judgements", 'CREATE TABLE "reclassifications"'),
    (r"\bjudgements\b", "reclassifications"),
    (r'("elapsed_s": [\d.]+), "tracks"', r'\1, "notes": [], "tracks"'),
)


def make_clips(folder: Path) -> None:
    """Render and copy the clips into `folder`; what is there already stays."""
    sys.path.insert(0, str(ROOT))
    from tqdm import tqdm

    from scripts.support.clips import plan_clips, render
    from scripts.support.footage import footage

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "stream" / "demo" / "demo.mp4", folder / "demo.mp4")
    for name in FOOTAGE:
        shutil.copy(footage(name), folder / name)
    for clip in tqdm(plan_clips("test", [30.0, 100.0], 1, 1000), unit="clip"):
        render(clip, folder)


def record(clips: Path, out: Path, checkout: Path) -> None:
    """Write the events, exports, reports and a dump of the store that `checkout` gives for all clips."""
    out.mkdir(parents=True)
    package = "merau.stream.cli" if (checkout / "merau").exists() else "stream.cli"
    files = sorted(str(path) for path in clips.iterdir() if path.suffix in (".mp4", ".mov"))
    command = [sys.executable, "-m", package, "analyse", *files, "--out", str(out), "--json"]
    with (out / "analyses.json").open("w") as document:
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        done = subprocess.run(command, cwd=out, stdout=document, env=environment)
    if done.returncode not in (0, 1):  # 1: one of the clips has no face or is damaged, as meant
        sys.exit(f"merau analyse ended with exit code {done.returncode}.")
    with contextlib.closing(sqlite3.connect(out / "merau.db")) as store:
        (out / "store.sql").write_text("\n".join(store.iterdump()))


def compare(before: Path, after: Path) -> int:
    """Print how the recorded results differ; returns the exit code."""
    names = {path.name for folder in (before, after) for path in folder.glob("[!.]*") if path.suffix in COMPARED}
    different = 0
    for name in sorted(names):
        old, new = (_lines(folder / name) for folder in (before, after))
        old = [_replaced(line, RENAMED) for line in old]
        if name.endswith(".sql"):  # a dump lists tables by name, so a renamed table moves
            old, new = sorted(old), sorted(new)
        if old != new:
            different += 1
            for line in difflib.unified_diff(old, new, name, name, n=0, lineterm=""):
                print(line[:400])
    print(f"{len(names)} files compared, {different} differ.")
    return 1 if different or not names else 0


def _lines(path: Path) -> list[str]:
    return [_replaced(line, VOLATILE) for line in path.read_text().splitlines()] if path.exists() else []


def _replaced(line: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in pairs:
        line = re.sub(pattern, replacement, line)
    return line


def main() -> int:
    """Run one step; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("clips").add_argument("clips", type=Path)
    recording = steps.add_parser("record")
    recording.add_argument("clips", type=Path)
    recording.add_argument("out", type=Path)
    recording.add_argument("--checkout", type=Path, default=ROOT, help="folder of the build (default: this one)")
    comparing = steps.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.step == "clips":
        make_clips(options.clips)
    elif options.step == "record":
        record(options.clips.resolve(), options.out.resolve(), options.checkout.resolve())
    else:
        return compare(options.before, options.after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
