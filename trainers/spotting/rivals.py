"""The field's spotting methods and our spotter on the same clips, scored by the field's protocol."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from merau.engine.bundle import Bundle
from merau.engine.errors import UserError
from merau.stream.spotter import Spotter
from merau.stream.spotter.span_net import SpanNet, span_net
from merau.trainers.baselines.spotters.clip import RATE, SpottingMethod, SteadyClip, make_steady
from merau.trainers.baselines.spotters.divide_and_conquer import DivideAndConquer, find_apex
from merau.trainers.baselines.spotters.hoof_rnn import HoofRnn
from merau.trainers.baselines.spotters.lbp_difference import LbpDifference
from merau.trainers.baselines.spotters.mdmd import Mdmd
from merau.trainers.baselines.spotters.of_fd import OfFd
from merau.trainers.baselines.spotters.riesz import Riesz
from merau.trainers.baselines.spotters.softnet import SoftNet
from merau.trainers.baselines.spotters.strain import Strain
from merau.trainers.evaluate.intervals import KINDS, Interval, score_intervals
from merau.trainers.spotting.dataset import FaceClip, load_clip
from merau.trainers.spotting.own_videos import read_videos
from merau.trainers.spotting.record import crops_of

METHODS: dict[str, Callable[[], SpottingMethod]] = {
    "lbp-difference": LbpDifference,
    "mdmd": Mdmd,
    "strain": Strain,
    "hoof-rnn": HoofRnn,
    "riesz": Riesz,
    "softnet": SoftNet,
    "of-fd": OfFd,
    "divide-and-conquer": DivideAndConquer,
}
# F1 of macro- and micro-expressions, and of both, that papers print for CAS(ME)^2 and for SAMM Long Videos.
PUBLISHED = {
    "mdmd": {"CAS(ME)^2": (0.120, 0.008, 0.038), "SAMM-LV": (0.063, 0.036, 0.045)},
    "softnet": {"CAS(ME)^2": (0.241, 0.117, 0.202), "SAMM-LV": (0.217, 0.152, 0.188)},
    "of-fd": {"CAS(ME)^2": (0.378, 0.197, 0.344), "SAMM-LV": (0.415, 0.216, 0.364)},
}
OURS = "merau"
FOLDS = 3  # in which methods that learn are tested on people, or clips, that they have not seen


def compare(clips: Sequence[FaceClip], bundle: Bundle, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Spot `clips` with our spotter and each of the methods `names`.

    Yields:
        The name, and the scores of `score_intervals` with the seconds of processor time that a minute of video took.

    Raises:
        UserError: There is no such method, or no clip whose expressions are all known.
    """
    known = [clip for clip in clips if clip.complete]
    if not known:
        raise UserError("These clips do not tell all expressions that they show: give clips with their ground truth.")
    if unknown := [name for name in names if name not in METHODS]:
        raise UserError(f"There is no spotting method {unknown[0]!r}: choose among {', '.join(METHODS)}.")
    torch.set_num_threads(1)
    net, minutes = span_net(bundle), sum(clip.duration_s for clip in known) / 60
    steady = [make_steady(clip) for clip in known]
    true = [interval for clip in steady for interval in truth(clip)]
    begun = time.process_time()
    ours = [interval for clip in known for interval in spot_live(clip, net)]
    yield OURS, described(true, ours, (time.process_time() - begun) / minutes)
    for name in names:
        begun = time.process_time()
        found = spot_folds(steady, METHODS[name])
        document = described(true, found, (time.process_time() - begun) / minutes)
        if name == "divide-and-conquer":
            document["apex_error_ms"] = apex_error_ms(steady)
        if name in PUBLISHED:
            document["published"] = PUBLISHED[name]
        yield name, document


def described(true: Sequence[Interval], found: Sequence[Interval], seconds: float) -> dict[str, Any]:
    """Return the scores, and the seconds of processor time of one minute of video."""
    return {**score_intervals(true, found), "seconds_a_minute": round(seconds, 1)}


def truth(clip: SteadyClip) -> list[Interval]:
    """Return the true expressions of a clip in frames."""
    return [
        Interval(clip.subject, clip.name, span["kind"], span["onset_s"] * RATE, span["offset_s"] * RATE)
        for span in clip.spans
        if span["kind"] in KINDS
    ]


def spot_live(clip: FaceClip, net: SpanNet) -> list[Interval]:
    """Return what our spotter reports of a clip in the end."""
    spotter = Spotter(net)
    spans = {span.id: span for crop in crops_of(clip) for span in spotter.push(crop)}
    spans |= {span.id: span for span in spotter.finish()}
    zero_s = clip.t_s[0]
    return [
        Interval(clip.identity, clip.name, span.kind, (span.onset_s - zero_s) * RATE, (span.offset_s - zero_s) * RATE)
        for span in spans.values()
        if span.kind in KINDS
    ]


def spot_folds(clips: Sequence[SteadyClip], make: Callable[[], SpottingMethod]) -> list[Interval]:
    """Return what a method finds in each clip after it has learned from the others' people."""
    found = list[Interval]()
    for tested in folds(clips):
        method = make()
        method.fit([clip for i, clip in enumerate(clips) if i not in tested])
        for i in sorted(tested):
            clip = clips[i]
            found += [Interval(clip.subject, clip.name, s.kind, s.onset, s.offset) for s in method(clip)]
    return found


def folds(clips: Sequence[SteadyClip]) -> list[set[int]]:
    """Divide clips by subject; by clip where there are fewer subjects than folds."""
    subjects = [clip.subject for clip in clips]
    groups = subjects if len(set(subjects)) >= FOLDS else [clip.name for clip in clips]
    order = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    divided = [{i for i, group in enumerate(groups) if order[group] % FOLDS == fold} for fold in range(FOLDS)]
    return [fold for fold in divided if fold]


def apex_error_ms(clips: Sequence[SteadyClip]) -> float | None:
    """Return the median distance of the apex by divide and conquer from the true one, within each micro-expression."""
    errors = list[float]()
    for clip in clips:
        for span in clip.spans:
            first, last = (round(span[name] * RATE) for name in ("onset_s", "offset_s"))
            if span["kind"] == "micro" and 0 <= first < last - 1 and last < len(clip):
                apex = first + find_apex(clip.frames[first : last + 1])
                errors.append(abs(apex / RATE - span["apex_s"]) * 1000)
    return round(float(np.median(errors)), 1) if errors else None


def markdown(documents: dict[str, dict[str, Any]]) -> str:
    """Return F1, precision and recall of each method as a table."""
    header = ["method", "micro F1", "precision", "recall", "macro F1", "both F1", "CPU s a minute"]
    lines = [header, ["---"] * len(header)]
    for name, document in documents.items():
        micro = document["micro"]
        scores = (micro["f1"], micro["precision"], micro["recall"], document["macro"]["f1"], document["overall"]["f1"])
        lines.append([name, *(f"{score:.3f}" for score in scores), str(document["seconds_a_minute"])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def read_clips(folder: Path, truth: Path | None) -> list[FaceClip]:
    """Read a data set of `spot dataset`, or the videos of a folder with their ground truth.

    Raises:
        UserError: The folder holds neither, or a video has no ground truth.
    """
    if stored := sorted(folder.glob("*.npz")):
        return [load_clip(file) for file in stored]
    return read_videos(folder, truth)
