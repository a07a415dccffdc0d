"""What a camera's codec, bitrate and key frames cost: micro-expressions found in the same clips, coded in other ways.

    python scripts/bench_codecs.py                                     # JSON, three seeds
    python scripts/bench_codecs.py --checkout main --markdown          # also by another revision, as a table
    python scripts/bench_codecs.py --codecs "H.264, low delay" --kbit-per-s 510,1000,2000 --key-s 1,4
    python scripts/bench_codecs.py --split tuning --seed 5000          # the clips that limits may be chosen on

Each seed gives one clip of 18 s for each peak: 640x480, 30 frames/s, seven micro-expressions of 0.3 s. All codings show
the same frames. They are rendered and coded once, into --cache; `merau analyse --json` of this revision and of
--checkout reads the files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.trainers.evaluate.spotting import ClipResult, Detection, score
from scripts.support.clips import PORTRAITS, Clip
from scripts.support.coding import CODECS, DURATION_S, Coding, code, plan_clip, spans_of
from scripts.support.footage import footage
from scripts.support.host import host

ROOT = Path(__file__).parents[1]
PEAKS_PX = (0.5, 1.0)
COLUMNS = ("found", "true", "false_per_minute", "apex_error_ms")


def numbers(text: str) -> list[float]:
    """Parse numbers separated by commas."""
    return [float(number) for number in text.split(",")]


@contextmanager
def revision(name: str | None) -> Iterator[Path]:
    """Give the folder of this revision, or of another one that is checked out meanwhile."""
    if name is None:
        yield ROOT
        return
    with tempfile.TemporaryDirectory() as folder:
        checkout = str(Path(folder) / "code")
        subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", "-q", checkout, name], check=True)
        try:
            yield Path(checkout)
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", checkout], check=True)


def detect(paths: Sequence[Path], folder: Path) -> list[tuple[Detection, ...]]:
    """Return the events that `merau analyse` of the revision in `folder` finds in each video."""
    command = [sys.executable, "-m", "merau", "analyse", "--json", *(str(path.resolve()) for path in paths)]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{paths[0].name} and more: {done.stderr.strip()}")
    decoder, rest, found = json.JSONDecoder(), done.stdout.strip(), []
    while rest:
        document, end = decoder.raw_decode(rest)
        rest = rest[end:].lstrip()
        found.append(tuple(map(_detection, document["events"])))
    return found


def _detection(event: dict[str, Any]) -> Detection:
    return Detection(event["kind"], event["onset_s"], event["apex_s"], event["offset_s"], 0.0, 0.0, event["label"])


def evaluate(coding: Coding | None, clips: Sequence[Clip], folder: Path, cache: Path) -> dict[str, Any]:
    """Return scores and bitrate of one coding, by peak."""
    paths = [code(clip, coding, cache) for clip in clips]
    results = [
        ClipResult(spans_of(clip, cache), detections, DURATION_S)
        for clip, detections in zip(clips, detect(paths, folder), strict=True)
    ]
    scores: dict[str, Any] = {}
    for peak in PEAKS_PX:
        scored = score(result for clip, result in zip(clips, results, strict=True) if clip.peak_px == peak)
        scores[f"{peak:g} px"] = {name: scored[name] for name in COLUMNS}
    size = sum(path.stat().st_size for path in paths)
    return {"kbit_per_s": round(8e-3 * size / len(clips) / DURATION_S), **scores}


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Lay out the rows as a table; each cell is found of true, and false events a minute."""
    lines = ["| coding | kbit/s | key frame every | revision | 0.5 px | 1 px |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = (
            f"{row[peak]['found']} of {row[peak]['true']}, {row[peak]['false_per_minute']} false"
            for peak in (f"{peak:g} px" for peak in PEAKS_PX)
        )
        every = f"{row['key_s']:g} s" if row["key_s"] else ""
        lines.append(f"| {row['codec']} | {row['kbit_per_s']} | {every} | {row['revision']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=list(CODECS), help="(default: all)")
    parser.add_argument("--kbit-per-s", type=numbers, default=[510.0, 2000.0], help="bitrates (default: 510,2000)")
    parser.add_argument("--key-s", type=numbers, default=[2.0], help="seconds between key frames (default: 2)")
    parser.add_argument("--seeds", type=int, default=3, help="clips of each peak (default: 3)")
    parser.add_argument("--seed", type=int, default=6000, help="seed of the first clip (default: 6000)")
    parser.add_argument("--split", choices=list(PORTRAITS), default="test", help="faces (default: test)")
    parser.add_argument("--checkout", metavar="REVISION", help="also analyse by this revision")
    parser.add_argument("--markdown", action="store_true", help="print a table instead of JSON")
    parser.add_argument("--cache", type=Path, default=Path(".cache/bench_codecs"), help="(default: %(default)s)")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    clips = [plan_clip(options.split, peak, options.seed + i) for i in range(options.seeds) for peak in PEAKS_PX]
    for name in sorted({clip.file for clip in clips}):
        footage(name)
    codings: list[Coding | None] = [None]
    codings += [
        Coding(codec, round(kbit_per_s), 0.0 if CODECS[codec].intra else key_s)
        for codec in options.codecs
        for kbit_per_s in options.kbit_per_s
        for key_s in (options.key_s[:1] if CODECS[codec].intra else options.key_s)
    ]
    rows = []
    for name in dict.fromkeys((options.checkout, None)):
        with revision(name) as folder:
            for coding in tqdm(codings, desc=name or "this", unit="coding", file=sys.stderr):
                found = evaluate(coding, clips, folder, options.cache)
                named = {"codec": coding.codec, "key_s": coding.key_s} if coding else {"codec": "uncoded", "key_s": 0.0}
                rows.append({"revision": name or "this", **named, **found})
    if options.markdown:
        print(markdown(rows))
    else:
        setting = {"split": options.split, "seed": options.seed, "seeds": options.seeds}
        report = {"what": "spotting in coded clips", "host": host(), **setting, "rows": rows}
        print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
