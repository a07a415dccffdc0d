"""From a release to a flow set: frames through our own faces and alignment, flow measured, kept on disk.

What was measured stays: a second run goes on where the first one ended, and a clip whose face is not found is named.
Several releases may be prepared into one folder, one after the other: they become one set.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.engine.flow import METHODS, pair_flow
from merau.trainers.data import flow_set
from merau.trainers.data.releases import (
    casme,
    casme2,
    casme_cubed,
    casme_squared,
    ck_plus,
    dfew,
    dfme,
    fourdme,
    mmew,
    samm,
    samm_lv,
    smic,
)
from merau.trainers.data.releases.release import Corrections, Release, Sample, digits
from merau.trainers.data.synth.image_pairs import align

RELEASES: dict[str, Callable[[Path, Corrections], Release]] = {
    "casme": casme.load,
    "casme2": casme2.load,
    "casme^2": casme_squared.load,
    "casme^3": casme_cubed.load,
    "smic-hs": smic.load_hs,
    "smic-vis": smic.load_vis,
    "smic-nir": smic.load_nir,
    "samm": samm.load,
    "samm-lv": samm_lv.load,
    "mmew": mmew.load,
    "4dme": fourdme.load,
    "dfme": dfme.load,
    "ck+": ck_plus.load,
    "dfew": dfew.load,
}
CORRECTIONS = {  # of each release by name; the others have none
    **{
        name: tuple(correction.name for correction in sheet.CORRECTIONS)
        for name, sheet in (("casme", casme), ("casme2", casme2), ("samm", samm))
    },
    "4dme": (fourdme.TENTATIVE, fourdme.SWAPPED),
}
READINGS = {"mmew": (mmew.OTHERS,)}
STEPS = 8  # frames of a strip, evenly from onset to apex
STRIP_PX = 96  # their side
BESIDE = 2  # frames on either side of the apex that training may take for it; MERAU's eq. 11 asks for four at most
MARGIN = 0.4  # of its side that is put round a picture cropped so tightly that no face is found in it
FOLDERS = ("flow", "frames", "crops")
KINDS = ("micro", "macro", "both")


@dataclass(frozen=True)
class PrepareSettings:
    """`kind` of expressions to take, `flow` method to measure them with."""

    kind: str = "micro"
    flow: str = "dis"

    def __post_init__(self) -> None:
        if self.flow not in METHODS:
            raise UserError(f"flow is {self.flow!r}: choose one of {', '.join(METHODS)}.")
        if self.kind not in KINDS:
            raise UserError(f"kind is {self.kind!r}: choose one of {', '.join(KINDS)}.")


def load(name: str, root: Path, corrections: Corrections) -> Release:
    """The release `name` in the folder `root`. Raises UserError for one, or for a correction or reading, that is not
    known.
    """
    if name not in RELEASES:
        raise UserError(f"Release is {name!r}: choose one of {', '.join(RELEASES)}.")
    for asked, known, what, verb in (
        (corrections.without, CORRECTIONS.get(name, ()), "correction", "leave out"),
        (corrections.readings, READINGS.get(name, ()), "reading", "make"),
    ):
        unknown = sorted(asked - set(known))
        if unknown:
            there = f"its {what}s are {', '.join(known)}" if known else "it has none"
            raise UserError(f"There is no {what} {', '.join(unknown)} of {name} to {verb}: {there}.")
    return RELEASES[name](root, corrections)


def prepare(release: Release, out: Path, settings: PrepareSettings) -> Release:
    """Write `out`/index.csv, flow pictures, strips of frames and of crops; gives back `release` less what was left out.

    What index.csv and report.txt say of other releases stays. Raises UserError where nothing is left.
    """
    done = Release(release.dataset, skipped=list(release.skipped), notes=list(release.notes))
    index = out / "index.csv"
    others = [row for row in read_index(index) if not row["flow_png"].startswith(f"flow/{release.dataset}_")]
    nets, rows = FaceNets(), []
    for folder in FOLDERS:
        flow_set.make_folder(out / folder)
    for sample in tqdm(release.samples, desc=f"preparing {release.dataset}", unit="clip"):
        if settings.kind not in (sample.kind, "both"):
            done.skipped.append((f"{sample.subject}/{sample.name}", f"a {sample.kind}-expression"))
            continue
        picture = picture_name(release.dataset, sample, settings.flow)
        if not all((out / folder / picture).exists() for folder in FOLDERS):
            found = cropped(sample, nets)
            if isinstance(found, str):
                done.skipped.append((f"{sample.subject}/{sample.name}", found))
                continue
            crops, neighbours = found
            flow = pair_flow(crops[0], crops[-1], spec=CropSpec(), method=settings.flow)
            cv2.imwrite(str(out / "crops" / picture), np.concatenate([crops[0], crops[-1], *neighbours]))
            cv2.imwrite(str(out / "frames" / picture), strip(crops))
            cv2.imwrite(str(out / "flow" / picture), flow_set.draw_picture(flow))
        done.samples.append(sample)
        rows.append(row_of(sample, picture))
    if not rows:
        raise UserError(f"Of {release.dataset} no clip is left: {summary(done)[0]}")
    flow_set.write_index(index, sorted([*others, *rows], key=lambda row: str(row["dataset"])))
    write_report(out / "report.txt", done)
    return done


def picture_name(release: str, sample: Sample, method: str) -> str:
    """Another one where a correction gives the clip another onset, apex or offset: it is measured anew then."""
    first, apex, last = (digits(sample.frames[i].stem) for i in (0, sample.apex, -1))
    return f"{release}_{sample.subject}_{sample.name}_{first}-{apex}-{last}_{method}.png"


def read_index(index: Path) -> list[dict[str, str]]:
    return [row for _, row in flow_set.read_index(index)] if index.exists() else []


def write_report(path: Path, done: Release) -> None:
    """The lines on `done` begin with its name; those on other releases stay."""
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    others = [line for line in before if not line.startswith(f"{done.dataset}: ")]
    path.write_text("\n".join([*others, *summary(done)]) + "\n", encoding="utf-8")


def row_of(sample: Sample, picture: str) -> dict[str, object]:
    return {
        "dataset": sample.dataset,
        "subject": sample.subject,
        "sample": sample.name,
        "label": "" if sample.label is None else flow_set.CLASSES.index(sample.label),
        "flow_png": f"flow/{picture}",
        "emotion": sample.emotion,
        "aus": sample.aus,
        "frames_png": f"frames/{picture}",
        "crops_png": f"crops/{picture}",
    }


def cropped(sample: Sample, nets: FaceNets) -> tuple[list[np.ndarray], list[np.ndarray]] | str:
    """Full crops (180, 168) uint8, held on the onset's face: STEPS or fewer from onset to apex, and those beside the
    apex; or why not.
    """
    which = np.unique(np.linspace(0, sample.apex, min(STEPS, sample.apex + 1)).round().astype(int))
    frames = [cv2.imread(str(sample.frames[i])) for i in (*which, *beside(sample))]
    if any(frame is None for frame in frames):
        return "a frame cannot be read"
    crops = align(frames, nets) or align([widened(frame) for frame in frames], nets)
    return (crops[: len(which)], crops[len(which) :]) if crops else "no face was found"


def beside(sample: Sample) -> list[int]:
    """The frames nearest to the apex, none so early that the face is at half of its way yet."""
    near = range(max(sample.apex // 2 + 1, sample.apex - BESIDE), min(sample.apex + BESIDE + 1, len(sample.frames)))
    return sorted((i for i in near if i != sample.apex), key=lambda i: abs(i - sample.apex))


def widened(frame: np.ndarray) -> np.ndarray:
    """`frame` (H, W, 3) with its edge drawn out on all sides, for faces that fill it."""
    border = round(MARGIN * max(frame.shape[:2]))
    return cv2.copyMakeBorder(frame, border, border, border, border, cv2.BORDER_REPLICATE)


def strip(crops: Sequence[np.ndarray]) -> np.ndarray:
    """The inner squares of `crops`, one above the other, (T * STRIP_PX, STRIP_PX) uint8."""
    inner = [np.ascontiguousarray(crop[CropSpec().inner]) for crop in crops]
    return np.concatenate([cv2.resize(c, (STRIP_PX, STRIP_PX), interpolation=cv2.INTER_AREA) for c in inner])


def summary(release: Release) -> list[str]:
    """What was loaded, left out and mended, one sentence a line."""
    reasons = "; ".join(f"{who} ({why})" for who, why in release.skipped[:3])
    more = f", among them {reasons}" if reasons else ""
    first = f"{release.dataset}: {len(release.samples)} clips, {len(release.skipped)} left out{more}."
    left_out = (f"Left out: {who}: {why}." for who, why in release.skipped)
    return [first, *(f"{release.dataset}: {line}" for line in (*release.notes, *left_out))]
