"""How well micro-expressions are spotted: precision, recall, F1, apex error, false detections, delays. Prints JSON.

    python scripts/bench_spot.py                      # seeds 1000.., test faces, 30 and 100 frames/s
    python scripts/bench_spot.py --split tuning       # the faces that thresholds may be chosen on
    python scripts/bench_spot.py --clips 1 --rates 30 # a quick look
    python scripts/bench_spot.py --sets neutral       # heads that only move
    python scripts/bench_spot.py --flicker 0.1        # the same clips in mains light of 50 Hz, in bands of 10%

scripts/support/clips.py plans and renders the clips, once, into --cache; trainers/evaluate/spotting.py scores them.
Sets: micro (only micro-expressions, blinks and glances), neutral (head turns and nods, blinks, glances), macro and
speech (with micro-expressions in between), mixed, and real (a stretch of real video in which little moves, played
forwards and backwards).
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from merau.engine.recognizer import Recognizer
from merau.trainers.evaluate.spotting import IOU, ClipResult, kind_table, score
from scripts.support.clips import PEAKS_PX, PORTRAITS, SETS, Clip, evaluate_clip, plan_clips
from scripts.support.footage import footage
from scripts.support.host import host

Results = list[tuple[Clip, ClipResult]]


def report(results: Results, options: argparse.Namespace) -> dict[str, Any]:
    """Return everything that is printed."""
    bundle = Recognizer.load(options.bundle).bundle
    faces = sorted({clip.face for clip, _ in results})
    by_rate: dict[str, Any] = {}
    for rate in options.rates:
        animated = [(clip, result) for clip, result in results if clip.set != "real" and clip.rate == rate]
        groups = {f"{peak} px": [r for c, r in animated if (c.set, c.peak_px) == ("micro", peak)] for peak in PEAKS_PX}
        groups |= {name: [r for c, r in animated if c.set == name] for name in ("neutral", "macro", "speech", "mixed")}
        groups["all"] = [result for _, result in animated]
        by_rate[f"{rate:g} frames/s"] = {name: score(group) for name, group in groups.items()}
    real = [(real_case(clip), result) for clip, result in results if clip.set == "real"]
    by_case = {case: score(r for c, r in real if c == case) for case in sorted({case for case, _ in real})}
    return {
        "what": "spotting of micro-expressions on rendered clips",
        "host": host(),
        "threads": 1,
        "processes": options.jobs,
        "bundle": {"name": bundle.name, "sha256": bundle.sha256},
        "split": options.split,
        "seed": options.seed,
        "flicker": options.flicker,
        "clips": len(results),
        "faces": faces,
        "iou": IOU,
        "results": by_rate | {"real footage": by_case},
        "by_face": {face: score(result for clip, result in results if clip.face == face) for face in faces},
        "kinds": kind_table(result for _, result in results),
    }


def real_case(clip: Clip) -> str:
    """Name the stretch of real video and the peak of what was rendered into it."""
    painted = f"{clip.peak_px:g} px" if clip.peak_px else "nothing painted in"
    return f"{clip.file} {clip.plan.start_s:g}-{clip.plan.stop_s:g} s, {painted}"


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--clips", type=int, default=2, help="clips per set, rate and peak; neutral has four times as many (default: 2)"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="sets of clips (default: all)")
    parser.add_argument("--seed", type=int, default=1000, help="a new number gives unseen clips (default: 1000)")
    parser.add_argument(
        "--rates",
        type=lambda text: [float(rate) for rate in text.split(",")],
        default=[30.0, 100.0],
        help="frames per second, separated by commas (default: 30,100)",
    )
    parser.add_argument("--split", choices=list(PORTRAITS), default="test", help="faces (default: test)")
    parser.add_argument("--bundle", type=Path, help="recognizer bundle (default: the shipped one)")
    parser.add_argument(
        "--flicker", type=float, default=0.0, help="amplitude of mains light, as a share of the light (default: 0)"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(".cache/bench_spot"),
        help="folder of rendered clips (default: .cache/bench_spot)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    clips = plan_clips(options.split, options.rates, options.clips, options.seed)
    clips = [clip for clip in clips if clip.set in options.sets]
    for name in sorted({clip.file for clip in clips}):
        footage(name)  # fetched once, before several processes ask for it
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(evaluate_clip, clip, options.cache, options.bundle, options.flicker) for clip in clips]
        try:
            results = [job.result() for job in tqdm(jobs, unit="clip", file=sys.stderr)]
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print("Stopped.", file=sys.stderr)
            return 130
    print(json.dumps(report(list(zip(clips, results, strict=True)), options), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
