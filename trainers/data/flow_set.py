"""Flow sets: onset-apex flow of many samples as small images.

This is the public form of MEGC2019's composite database (CDE).

An index in CSV has the columns `dataset, subject, sample, label, flow_png`, one row for each sample. The label is 0
negative, 1 positive, 2 surprise, or empty; the image's path is relative to the index. An image is 28 x 28 x 3 uint8, in
OpenCV's channel order strain, v, u, each channel min-max scaled to 0..255 for its sample. The scaling loses the zero of
each channel, the size of the motion, and the ratio of u to v.

Further columns are optional: `emotion` as the release names it; `aus` ("1+2") as certified coders saw them;
`duration_s` from onset to offset;
`frames_png`, a strip of grey crops from onset to apex for recognizers that see the face itself; and `crops_png`, a
strip of full crops for MERAU's training: onset, apex, and the apex's neighbours, the nearest first.
"""

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine import flow as engine_flow
from merau.engine.crop import CropSpec
from merau.engine.csv_table import parse_decimal, read_csv
from merau.engine.errors import UserError
from merau.engine.preprocess import GRID, channel_pattern
from merau.trainers.data.facs import find_error

CLASSES = ("negative", "positive", "surprise")
UNLABELLED = -1
COLUMNS = ("dataset", "subject", "sample", "flow_png")  # and `label`, where there are labels
SIDE_PX = 28
EXTRA = ("emotion", "aus", "frames_png", "crops_png")
SUBJECT = re.compile(r"(?:s|sub|subject|spno)?[._-]?0*(\d+)(?:\.0+)?")
MICRO_S = 0.5  # a micro-expression lasts at most this long


@dataclass(frozen=True)
class FlowSet:
    """N samples.

    Attributes:
        dataset: (N,) str.
        subject: (N,) str.
        sample: (N,) str.
        label: (N,) int index into CLASSES, or UNLABELLED.
        image: (N, 28, 28, 3) uint8, channels strain, v, u.
        emotion: (N,) str, empty where unknown.
        aus: (N,) str codes, empty where unknown.
        frames: (N,) str paths of strips, or empty.
        crops: (N,) str paths of strips, or empty.
        duration_s: (N,) float from onset to offset, NaN where unknown.
    """

    dataset: np.ndarray
    subject: np.ndarray
    sample: np.ndarray
    label: np.ndarray
    image: np.ndarray
    emotion: np.ndarray
    aus: np.ndarray
    frames: np.ndarray
    crops: np.ndarray
    duration_s: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: np.ndarray) -> "FlowSet":
        """Return the samples `rows`, indices or a mask."""
        return FlowSet(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def person(self) -> np.ndarray:
        """(N,) integers, one for each subject.

        Subjects of the same name in two data sets are two people. "01", "sub01" and "Sub1" in one are the same person.
        """
        names = [f"{d}\n{subject_key(s)}" for d, s in zip(self.dataset, self.subject.tolist(), strict=True)]
        return np.unique(names, return_inverse=True)[1]


def subject_key(name: str) -> str:
    """Return what the spellings of one subject have in common: "01", "sub01" and "Sub1 " give "1"."""
    plain = "".join(name.casefold().split())
    matched = SUBJECT.fullmatch(plain)
    return matched[1] if matched else plain


def warnings(data: FlowSet) -> list[str]:
    """Return what a reader of scores should know about the samples of each database."""
    sentences = []
    for name in np.unique(data.dataset).tolist():
        rows = data.take(data.dataset == name)
        if merged := merged_subjects(rows.subject.tolist()):
            sentences.append(f"{name}: subjects that are spelled in several ways are one person: {merged}.")
        if long := int((rows.duration_s > MICRO_S).sum()):
            known = int(np.isfinite(rows.duration_s).sum())
            sentences.append(
                f"{name}: {long} of {known} samples of known length last more than {MICRO_S} s from onset to offset. "
                "They count as the release codes them; models see onset to apex only."
            )
    return sentences


def merged_subjects(names: Sequence[str]) -> str:
    """Return "01 = sub01, 2 = sub02" for the subjects that `names` spell in several ways."""
    spellings: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        spellings.setdefault(subject_key(name), []).append(name)
    return ", ".join(" = ".join(found) for found in spellings.values() if len(found) > 1)


def read(*indices: Path) -> FlowSet:
    """Return the samples of `indices`, in their order.

    Names of data sets that differ only in case are one data set's.

    Raises:
        UserError: It names file and line of what is missing, malformed, or a duplicate by name and image.
    """
    parts, seen, spelling = [], dict[tuple[str | bytes, ...], str](), dict[str, str]()
    for index in indices:
        lines, part = read_one(index)
        names = [spelling.setdefault(name.lower(), name) for name in part.dataset.tolist()]
        for line, image, *who in zip(lines, part.image, names, part.subject, part.sample, strict=True):
            where, key = f"{index}, line {line}", (who[0], subject_key(who[1]), who[2], image.tobytes())
            if key in seen:
                raise UserError(f"{where} repeats the sample {'/'.join(who)} of {seen[key]}.")
            seen[key] = where
        parts.append(replace(part, dataset=np.array(names)))
    return FlowSet(*(np.concatenate(column) for column in zip(*(vars(p).values() for p in parts), strict=True)))


def read_one(index: Path) -> tuple[list[int], FlowSet]:
    """Return the line of each sample in `index`, and the samples."""
    rows = read_index(index)
    with tqdm(rows, desc="reading flows", unit="sample", leave=False, disable=None) as bar:
        images = [read_image(index, row["flow_png"], line) for line, row in bar]
    text = {name: np.array([row.get(name, "") for _, row in rows]) for name in (*COLUMNS, *EXTRA)}
    strips = {
        column: np.array([str(index.parent / name) if name else "" for name in text[column]])
        for column in ("frames_png", "crops_png")
    }
    return [line for line, _ in rows], FlowSet(
        text["dataset"],
        text["subject"],
        text["sample"],
        np.array([read_label(row.get("label", ""), index, line) for line, row in rows]),
        np.stack(images),
        np.char.lower(text["emotion"]),
        np.array([read_codes(row.get("aus", ""), index, line) for line, row in rows]),
        strips["frames_png"],
        strips["crops_png"],
        np.array([read_duration(row.get("duration_s", ""), index, line) for line, row in rows]),
    )


def read_index(index: Path) -> list[tuple[int, dict[str, str]]]:
    """Return line number and cells by column of each sample.

    Raises UserError as `read` does.
    """
    table = read_csv(index)
    missing = [name for name in COLUMNS if name not in table.header]
    if missing:
        raise UserError(
            f"The flow set {index} lacks the column {', '.join(missing)}: its first line must name "
            "dataset,subject,sample,label,flow_png."
        )
    rows = table.rows([name for name in (*COLUMNS, "label") if name in table.header])
    if not rows:
        raise UserError(f"The flow set {index} holds no sample.")
    return rows


def digest(data: FlowSet) -> str:
    """Return the sha256 of the samples, their images and strips.

    It does not depend on where these lie, nor on durations, which no model sees.
    """
    total = hashlib.sha256()
    for field in fields(data):
        if field.name == "duration_s":
            continue
        column = getattr(data, field.name)
        if field.name in ("frames", "crops"):
            column = [Path(path).read_bytes() if Path(path).is_file() else b"" for path in column]
            total.update(str([hashlib.sha256(strip).hexdigest() for strip in column]).encode())
        else:
            total.update(str(column.tolist()).encode())
    return total.hexdigest()


def write(index: Path, rows: Sequence[Mapping[str, object]], images: Sequence[np.ndarray]) -> None:
    """Write a flow set of `rows` and their `images`.

    The rows hold dataset, subject, sample, label and further columns.

    The column flow_png is filled in. Raises UserError where the folder cannot be written.
    """
    names = [f"flow/{i:05d}.png" for i in range(len(rows))]
    write_index(index, [{**row, "flow_png": name} for row, name in zip(rows, names, strict=True)])
    (index.parent / "flow").mkdir(exist_ok=True)
    for name, image in zip(names, images, strict=True):
        cv2.imwrite(str(index.parent / name), image)


def write_index(index: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write the index alone, with the columns that any of `rows` has.

    Raises UserError where that fails.
    """
    make_folder(index.parent)
    try:
        with index.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
            table.writeheader()
            table.writerows(rows)
    except OSError as error:
        raise UserError(f"The flow set cannot be written to {index}: {error.strerror}.") from error


def make_folder(folder: Path) -> None:
    """Make `folder`. Raises UserError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made: {error.strerror}.") from error


def read_label(text: str, index: Path, line: int) -> int:
    """Return 0, 1 or 2, given by number or name; UNLABELLED where `text` is empty."""
    if not text:
        return UNLABELLED
    if text.lower() in CLASSES:
        return CLASSES.index(text.lower())
    numbers = {str(form(i)): i for i in range(len(CLASSES)) for form in (int, float)}  # some tools write "1.0"
    if (plain := text.replace(",", ".")) not in numbers:
        wanted = "write 0 (negative), 1 (positive), 2 (surprise) or nothing"
        raise UserError(f"{index}, line {line}: label is {text!r}; {wanted}.")
    return numbers[plain]


def read_codes(codes: str, index: Path, line: int) -> str:
    """Return the Action Units `codes`. Raises UserError where they are none of FACS."""
    if error := find_error(codes):
        raise UserError(f"{index}, line {line}: aus: {error}.")
    return codes


def read_duration(text: str, index: Path, line: int) -> float:
    """Return a duration in seconds; NaN where `text` is empty."""
    try:
        return parse_decimal(text) if text else float("nan")
    except ValueError:
        raise UserError(f"{index}, line {line}: duration_s is {text!r}; write seconds or nothing.") from None


def read_image(index: Path, name: str, line: int) -> np.ndarray:
    """Return the image (28, 28, 3) uint8 that line `line` names."""
    where = f"{index}, line {line}"
    if not name:
        raise UserError(f"{where}: flow_png is empty; write the path of an image, relative to the index.")
    path = index.parent / name
    if not path.is_file():
        path = index.parent / name.replace("\\", "/")
    if not path.is_file():
        raise UserError(f"{where}: there is no image {index.parent / name}.")
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED) if path.stat().st_size else None
    if image is None:
        raise UserError(f"{where}: {path} is not an image that can be read.")
    if image.shape != (SIDE_PX, SIDE_PX, 3) or image.dtype != np.uint8:
        raise UserError(
            f"{where}: {path} is {' x '.join(map(str, image.shape))} {image.dtype}; expected "
            f"{SIDE_PX} x {SIDE_PX} x 3 uint8."
        )
    return np.asarray(image)


def read_crops(path: str) -> list[np.ndarray]:
    """Return the full crops (180, 168) uint8 of one strip.

    They are onset, apex, and the apex's neighbours, the nearest first.
    """
    strip = cv2.imread(path, cv2.IMREAD_GRAYSCALE) if path else None
    height, width = CropSpec().full
    if strip is None or strip.shape[1] != width or strip.shape[0] % height or len(strip) < 2 * height:
        name = path or "crops_png"
        raise UserError(
            f"{name} is not a strip of crops of {height} x {width} pixels: prepare the set with this version."
        )
    return list(strip.reshape(-1, height, width))


def encode_flow(flow: np.ndarray) -> np.ndarray:
    """Return the image (28, 28, 3) uint8 of a flow (2, H, W) px.

    It is as in the public set; see `read_flow`.
    """
    channels = (engine_flow.strain(flow), flow[1], flow[0])
    small = np.stack([cv2.resize(c, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for c in channels], -1)
    low, high = small.min((0, 1)), small.max((0, 1))
    return np.round(255 * (small - low) / np.maximum(high - low, 1e-9)).astype(np.uint8)


def read_flows(data: FlowSet) -> np.ndarray:
    """Return the flow of every sample, (N, 2, 32, 32) float32; see `read_flow`."""
    bar = tqdm(data.image, desc="reading flow", unit="sample", leave=False, disable=None)
    return np.stack([read_flow(image) for image in bar])


def read_flow(image: np.ndarray) -> np.ndarray:
    """Return the pattern (2, 32, 32) float32 of an image (28, 28, 3), as `engine.preprocess.channel_pattern`.

    Each channel has its own unit and zero, so each is normalized by itself. Head motion is left in, as in training.
    """
    _, v, u = np.moveaxis(image, -1, 0)
    return enlarge(np.stack([u, v]))


def enlarge(flow: np.ndarray) -> np.ndarray:
    """Return the pattern (2, 32, 32) float32 of a flow (2, 28, 28), whose axes may be in units of their own."""
    grown = [cv2.resize(axis, (GRID, GRID), interpolation=cv2.INTER_LINEAR) for axis in flow.astype(np.float32)]
    return channel_pattern(np.stack(grown))
