"""From a release to a flow set.

Faces are found and aligned, the flow is measured, and both are kept on disk.

A second run continues where the first one ended, and a clip whose face is not found is named. Several releases may be
prepared into one folder, one after the other: they become one set.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine import clip
from merau.engine.clip import STEPS
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.face_mesh import FaceNets
from merau.engine.flow import METHODS, pair_flow
from merau.engine.validation import check_choice
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
    own_clips,
    samm,
    samm_lv,
    smic,
)
from merau.trainers.data.releases.release import Corrections, Release, Sample, VideoFrame, digits
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
    "csv": own_clips.load,
}
CORRECTIONS = {  # by release; the others have none
    **{
        name: tuple(correction.name for correction in sheet.CORRECTIONS)
        for name, sheet in (("casme", casme), ("casme2", casme2), ("samm", samm))
    },
    "4dme": (fourdme.TENTATIVE, fourdme.SWAPPED),
}
READINGS = {"mmew": (mmew.OTHERS,), "casme^3": (casme_cubed.SHORT,)}
NEIGHBOURS = 2  # frames on either side of the apex that training may use as apex; MERAU's eq. 11 needs four at most
MARGIN = 0.4  # added on each side, in parts of a frame's side, where a face fills the frame and is not found
FOLDERS = ("flow", "frames", "crops")
KINDS = ("micro", "macro", "both")


@dataclass(frozen=True)
class PrepareSettings:
    """Which expressions to take, and how to measure their flow.

    `kind` is micro, macro or both; `flow` is the optical flow method.
    """

    kind: str = "micro"
    flow: str = "dis"

    def __post_init__(self) -> None:
        check_choice(self, "flow", METHODS)
        check_choice(self, "kind", KINDS)


def load(name: str, root: Path, corrections: Corrections) -> Release:
    """Load the release `name` from the folder `root`.

    Raises:
        UserError: The release, a correction or a reading is unknown.
    """
    if name not in RELEASES:
        raise UserError(f"There is no release {name!r}: choose one of {', '.join(RELEASES)}.")
    for named, known, what in (
        (corrections.without, CORRECTIONS.get(name, ()), "correction"),
        (corrections.readings, READINGS.get(name, ()), "reading"),
    ):
        unknown = sorted(named - set(known))
        if unknown:
            choices = f"its {what}s are {', '.join(known)}" if known else "it has none"
            raise UserError(f"{name} has no {what} {', '.join(unknown)}: {choices}.")
    return RELEASES[name](root, corrections)


def prepare(release: Release, out: Path, settings: PrepareSettings) -> Release:
    """Write `out`/index.csv, flow images, and strips of frames and of crops.

    What index.csv and report.txt say of other releases stays.

    Returns:
        The release without the clips that were left out.

    Raises:
        UserError: No clip is left.
    """
    prepared = Release(release.dataset, skipped=list(release.skipped), notes=list(release.notes))
    index = out / "index.csv"
    others = [row for row in read_index(index) if not row["flow_png"].startswith(f"flow/{release.dataset}_")]
    nets, rows = FaceNets(), []
    for folder in FOLDERS:
        flow_set.make_folder(out / folder)
    for sample in tqdm(release.samples, desc=f"preparing {release.dataset}", unit="clip"):
        image = image_name(release.dataset, sample, settings.flow)
        problem = prepare_sample(sample, out, image, settings, nets)
        if problem:
            prepared.skipped.append((f"{sample.subject}/{sample.name}", problem))
        else:
            prepared.samples.append(sample)
            rows.append(index_row(sample, image))
    if not rows:
        raise UserError(f"No clip of {release.dataset} is left: {summary(prepared)[0]}")
    flow_set.write_index(index, sorted([*others, *rows], key=lambda row: str(row["dataset"])))
    write_report(out / "report.txt", prepared)
    return prepared


def prepare_sample(sample: Sample, out: Path, image: str, settings: PrepareSettings, nets: FaceNets) -> str:
    """Write the images of `sample` unless they are there.

    Return why it is left out, or "" where it is not.
    """
    if settings.kind not in (sample.kind, "both"):
        return f"a {sample.kind}-expression"
    if all((out / folder / image).exists() for folder in FOLDERS):
        return ""
    found = crop_frames(sample, nets)
    if isinstance(found, str):
        return found
    crops, neighbours = found
    flow = pair_flow(crops[0], crops[-1], spec=CropSpec(), method=settings.flow)
    cv2.imwrite(str(out / "crops" / image), np.concatenate([crops[0], crops[-1], *neighbours]))
    cv2.imwrite(str(out / "frames" / image), make_strip(crops))
    cv2.imwrite(str(out / "flow" / image), flow_set.encode_flow(flow))
    return ""


def image_name(release: str, sample: Sample, method: str) -> str:
    """Return the file name.

    It changes with onset, apex and offset, so that a corrected clip is measured again.
    """
    first, apex, last = (digits(sample.frames[i].stem) for i in (0, sample.apex, -1))
    return f"{release}_{sample.subject}_{sample.name}_{first}-{apex}-{last}_{method}.png"


def read_index(index: Path) -> list[dict[str, str]]:
    """Return the rows of `index`; none where it does not exist."""
    return [row for _, row in flow_set.read_index(index)] if index.exists() else []


def write_report(path: Path, prepared: Release) -> None:
    """Write the lines about `prepared`, which start with its name.

    Those about other releases stay.
    """
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    others = [line for line in before if not line.startswith(f"{prepared.dataset}: ")]
    path.write_text("\n".join([*others, *summary(prepared)]) + "\n", encoding="utf-8")


def index_row(sample: Sample, image: str) -> dict[str, object]:
    """Return the row of `sample` in the index."""
    return {
        "dataset": sample.dataset,
        "subject": sample.subject,
        "sample": sample.name,
        "label": "" if sample.label is None else flow_set.CLASSES.index(sample.label),
        "flow_png": f"flow/{image}",
        "emotion": sample.emotion,
        "aus": sample.aus,
        "frames_png": f"frames/{image}",
        "crops_png": f"crops/{image}",
        "duration_s": "" if sample.duration_s is None else f"{sample.duration_s:.3f}",
    }


def crop_frames(sample: Sample, nets: FaceNets) -> tuple[list[np.ndarray], list[np.ndarray]] | str:
    """Return crops aligned with the onset's face, or why there are none.

    They are full crops (180, 168) uint8.

    The first list holds STEPS or fewer crops from onset to apex, the second those of the apex's neighbours.
    """
    which = np.unique(np.linspace(0, sample.apex, min(STEPS, sample.apex + 1)).round().astype(int))
    frames = read_frames([sample.frames[i] for i in (*which, *apex_neighbours(sample))])
    if frames is None:
        return "a frame cannot be read"
    crops = align(frames, nets) or align([add_margin(frame) for frame in frames], nets)
    return (crops[: len(which)], crops[len(which) :]) if crops else "no face was found"


def read_frames(wanted: Sequence[Path | VideoFrame]) -> list[np.ndarray] | None:
    """Return images (H, W, 3) uint8 BGR; None where one cannot be read."""
    decoded = own_clips.decode([frame for frame in wanted if isinstance(frame, VideoFrame)])
    frames = [decoded.get(f) if isinstance(f, VideoFrame) else cv2.imread(str(f)) for f in wanted]
    found = [frame for frame in frames if frame is not None]
    return found if len(found) == len(frames) else None


def apex_neighbours(sample: Sample) -> list[int]:
    """Return the frames nearest to the apex.

    Those in the first half of the way to it are left out.
    """
    first = max(sample.apex // 2 + 1, sample.apex - NEIGHBOURS)
    near = range(first, min(sample.apex + NEIGHBOURS + 1, len(sample.frames)))
    return sorted((i for i in near if i != sample.apex), key=lambda i: abs(i - sample.apex))


def add_margin(frame: np.ndarray) -> np.ndarray:
    """Return `frame` (H, W, 3) with repeated edges on all sides.

    This helps to find a face that fills the frame.
    """
    border = round(MARGIN * max(frame.shape[:2]))
    return np.asarray(cv2.copyMakeBorder(frame, border, border, border, border, cv2.BORDER_REPLICATE))


def make_strip(crops: Sequence[np.ndarray]) -> np.ndarray:
    """Return the inner squares of `crops`, one above the other.

    The result is (T * STRIP_PX, STRIP_PX) uint8.
    """
    return np.concatenate(clip.make_strip(crops, CropSpec()))


def summary(release: Release) -> list[str]:
    """Return what was loaded, left out and corrected, one sentence a line."""
    reasons = "; ".join(f"{who} ({why})" for who, why in release.skipped[:3])
    more = f", among them {reasons}" if reasons else ""
    first = f"{release.dataset}: {len(release.samples)} clips, {len(release.skipped)} left out{more}."
    left_out = (f"Left out: {who}: {why}." for who, why in release.skipped)
    return [first, *(f"{release.dataset}: {line}" for line in (*release.notes, *left_out))]
