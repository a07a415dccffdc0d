"""Flow sets: onset-apex flow of many samples as small pictures, the public form of MEGC2019's composite database (CDE).

An index in CSV names `dataset, subject, sample, label, flow_png`, one row a sample: label 0 negative, 1 positive, 2
surprise, or empty; the picture's path is relative to the index. A picture is 28 x 28 x 3 uint8, in OpenCV's channel
order strain, v, u, each channel min-max scaled to 0..255 for its sample: where zero lies, how large the motion was and
how u compares with v is lost. `read_flow` gets the last back from the strain, which mixes both.

Further columns, all optional: `emotion` as the release names it, `aus` ("1+2") as certified coders saw them, and
`frames_png`, a strip of grey crops from onset to apex for recognizers that look at the face itself, and `crops_png`, a
strip of full crops for MERAU's training: onset, apex, and the apex's neighbours, the nearest first.
"""

import csv
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from merau.engine import flow as engine_flow
from merau.engine.crop import CropSpec
from merau.engine.errors import UserError
from merau.engine.preprocess import GRID

CLASSES = ("negative", "positive", "surprise")
UNLABELLED = -1
COLUMNS = ("dataset", "subject", "sample", "flow_png")  # and `label`, where there are labels
SIDE_PX = 28
EXTRA = ("emotion", "aus", "frames_png", "crops_png")
LOG_RATIOS = np.linspace(-3, 3, 61)  # what the ratio of u to v is looked for among
USUAL_RATIO = (-0.3, 0.7)  # mean and standard deviation of log ratios in drawn flow and animated portraits
FREE_CELLS = 100  # so many independent cells the smooth strain of a picture counts for
UNIT, UNDECIDED = re.compile(r"\d+"), re.compile(r"[/?]")


@dataclass(frozen=True)
class FlowSet:
    """N samples. `dataset`, `subject`, `sample`, `emotion`, `aus` (N,) str, the last two empty where not known; `label`
    (N,) int index into CLASSES or UNLABELLED; `picture` (N, 28, 28, 3) uint8, channels strain, v, u; `frames` and
    `crops` (N,) str, paths of strips, or empty.
    """

    dataset: np.ndarray
    subject: np.ndarray
    sample: np.ndarray
    label: np.ndarray
    picture: np.ndarray
    emotion: np.ndarray
    aus: np.ndarray
    frames: np.ndarray
    crops: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: np.ndarray) -> "FlowSet":
        """The samples `rows`, indices or a mask."""
        return FlowSet(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def person(self) -> np.ndarray:
        """(N,) integers, one a subject: subjects of the same name in two data sets are two people."""
        names = [f"{d}\n{s}" for d, s in zip(self.dataset, self.subject, strict=True)]
        return np.unique(names, return_inverse=True)[1]


def read(*indices: Path) -> FlowSet:
    """The samples of `indices`, in their order. Names of data sets that differ in case only are one data set's.

    Raises UserError naming file and line of what is missing, misshapen, or there twice, by its name and its picture.
    """
    parts, seen, spelling = [], dict[tuple[str | bytes, ...], str](), dict[str, str]()
    for index in indices:
        lines, part = read_one(index)
        names = [spelling.setdefault(name.lower(), name) for name in part.dataset.tolist()]
        for line, picture, *who in zip(lines, part.picture, names, part.subject, part.sample, strict=True):
            where, same = f"{index}, line {line}", (*who, picture.tobytes())
            if same in seen:
                raise UserError(f"{where} names the sample {'/'.join(who)} of {seen[same]} again.")
            seen[same] = where
        parts.append(replace(part, dataset=np.array(names)))
    return FlowSet(*(np.concatenate(column) for column in zip(*(vars(p).values() for p in parts), strict=True)))


def read_one(index: Path) -> tuple[list[int], FlowSet]:
    """The line of each sample, and the samples."""
    rows = read_index(index)
    with tqdm(rows, desc="reading flows", unit="sample", leave=False, disable=None) as bar:
        pictures = [read_picture(index, row["flow_png"], line) for line, row in bar]
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
        np.stack(pictures),
        np.char.lower(text["emotion"]),
        text["aus"],
        strips["frames_png"],
        strips["crops_png"],
    )


def read_index(index: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each sample, by column. Raises UserError as `read` does."""
    with csv_lines(index, f"The flow set {index}") as lines:
        rows = list(read_rows(lines, index))
    if not rows:
        raise UserError(f"The flow set {index} holds no sample.")
    return rows


@contextmanager
def csv_lines(path: Path, what: str) -> Iterator[Iterator[list[str]]]:
    """The lines of a CSV, as their cells. Raises UserError about `what` where they cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield csv.reader(file, skipinitialspace=True)
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{what} is no CSV in UTF-8: {error}.") from error


def digest(data: FlowSet) -> str:
    """sha256 of the samples, their pictures and strips, wherever these lie."""
    total = hashlib.sha256()
    for field in fields(data):
        column = getattr(data, field.name)
        if field.name in ("frames", "crops"):
            column = [Path(path).read_bytes() if Path(path).is_file() else b"" for path in column]
            total.update(str([hashlib.sha256(strip).hexdigest() for strip in column]).encode())
        else:
            total.update(str(column.tolist()).encode())
    return total.hexdigest()


def write(index: Path, rows: Sequence[Mapping[str, object]], pictures: Sequence[np.ndarray]) -> None:
    """`rows` of dataset, subject, sample, label and whatever else is known, and their `pictures`, as a flow set.

    flow_png is filled in. Raises UserError where the folder cannot be written.
    """
    names = [f"flow/{i:05d}.png" for i in range(len(rows))]
    write_index(index, [{**row, "flow_png": name} for row, name in zip(rows, names, strict=True)])
    (index.parent / "flow").mkdir(exist_ok=True)
    for name, picture in zip(names, pictures, strict=True):
        cv2.imwrite(str(index.parent / name), picture)


def write_index(index: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """The index alone; its columns are those that any of `rows` has. UserError where it cannot be written."""
    make_folder(index.parent)
    try:
        with index.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
            table.writeheader()
            table.writerows(rows)
    except OSError as error:
        raise UserError(f"The flow set cannot be written to {index}: {error.strerror}.") from error


def make_folder(folder: Path) -> None:
    """Raises UserError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}.") from error


def read_rows(lines: Iterator[list[str]], index: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of each sample; empty lines are passed over."""
    header = [name.strip().lower() for name in next(lines, [])]
    missing = [name for name in COLUMNS if name not in header]
    if missing and any(";" in name for name in header):
        raise UserError(f"The flow set {index} seems to be separated by semicolons: save it with commas.")
    if missing:
        raise UserError(
            f"The flow set {index} lacks the column {', '.join(missing)}: its first line must name "
            "dataset,subject,sample,label,flow_png."
        )
    for line, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) < len(header):
            raise UserError(f"{index}, line {line} has {len(cells)} cells, its first line names {len(header)}.")
        yield line, dict(zip(header, (cell.strip() for cell in cells), strict=False))


def read_label(text: str, index: Path, line: int) -> int:
    """0, 1 or 2, by number or name; UNLABELLED where `text` is empty."""
    if not text:
        return UNLABELLED
    if text.lower() in CLASSES:
        return CLASSES.index(text.lower())
    numbers = {str(form(i)): i for i in range(len(CLASSES)) for form in (int, float)}  # some tools write "1.0"
    if text not in numbers:
        wanted = "write 0 (negative), 1 (positive), 2 (surprise) or nothing"
        raise UserError(f"{index}, line {line}: label is {text!r}; {wanted}.")
    return numbers[text]


def read_picture(index: Path, name: str, line: int) -> np.ndarray:
    """The picture (28, 28, 3) uint8 that line `line` names."""
    where = f"{index}, line {line}"
    if not name:
        raise UserError(f"{where}: flow_png is empty; it must name a picture, relative to the index.")
    path = index.parent / name
    if not path.is_file():
        path = index.parent / name.replace("\\", "/")
    if not path.is_file():
        raise UserError(f"{where}: there is no picture {index.parent / name}.")
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED) if path.stat().st_size else None
    if picture is None:
        raise UserError(f"{where}: {path} is not a picture that can be read.")
    if picture.shape != (SIDE_PX, SIDE_PX, 3) or picture.dtype != np.uint8:
        raise UserError(
            f"{where}: {path} is {' x '.join(map(str, picture.shape))} {picture.dtype}; expected "
            f"{SIDE_PX} x {SIDE_PX} x 3 uint8."
        )
    return np.asarray(picture)


def unit_numbers(codes: str) -> list[str]:
    """ "4+L10+AU12" -> ["4", "10", "12"]: side and other letters are left out, and so is what is undecided."""
    return [unit for term in terms(codes) if not UNDECIDED.search(term) for unit in UNIT.findall(term)]


def undecided_units(codes: str) -> list[str]:
    """ "4+12 or 14" -> ["12", "14"], and so of "12/14" and "12?": whether such a unit was shown is not known."""
    sure = unit_numbers(codes)
    units = [unit for term in terms(codes) if UNDECIDED.search(term) for unit in UNIT.findall(term)]
    return [unit for unit in units if unit not in sure]


def terms(codes: str) -> list[str]:
    """ "4 + 12 or 14" -> ["4", "12/14"]."""
    joined = re.sub(r"\s+(?=[?])", "", re.sub(r"\s*(?:/|(?<![a-z])or(?![a-z]))\s*", "/", codes.lower()))
    return re.split(r"[+,\uff0c;&\s]+", joined)


def read_crops(path: str) -> list[np.ndarray]:
    """Full crops (180, 168) uint8: onset, apex, and its neighbours, the nearest first."""
    strip = cv2.imread(path, cv2.IMREAD_GRAYSCALE) if path else None
    height, width = CropSpec().full
    if strip is None or strip.shape[1] != width or strip.shape[0] % height or len(strip) < 2 * height:
        name = path or "crops_png"
        raise UserError(f"{name} is no strip of crops of {height} x {width} pixels: prepare the set with this version.")
    return list(strip.reshape(-1, height, width))


def draw_picture(flow: np.ndarray) -> np.ndarray:
    """The picture (28, 28, 3) uint8 of a flow (2, H, W) px: what `read_flow` reads, and what the public set stores."""
    channels = (engine_flow.strain(flow), flow[1], flow[0])
    small = np.stack([cv2.resize(c, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for c in channels], -1)
    low, high = small.min((0, 1)), small.max((0, 1))
    return np.round(255 * (small - low) / np.maximum(high - low, 1e-9)).astype(np.uint8)


def read_flows(data: FlowSet) -> np.ndarray:
    """`read_flow` of every sample, (N, 2, 32, 32) float32."""
    bar = tqdm(data.picture, desc="reading flow", unit="sample", leave=False, disable=None)
    return np.stack([read_flow(picture) for picture in bar])


def read_flow(picture: np.ndarray) -> np.ndarray:
    """The facial flow (2, 32, 32) float32 of a picture (28, 28, 3) uint8, in the units of its own spread.

    u and v are brought to one unit by the ratio that the strain tells (`log_ratio`), and the motion of the head is
    taken out as in `engine.flow.pair_flow`; the trunk then sees what it was trained on, but for the size of the motion.
    """
    strain, v, u = np.moveaxis(picture.astype(np.float32), -1, 0)
    u = u * np.exp(log_ratio(strain, v, u), dtype=np.float32)
    field = np.stack([u - np.median(u), v - np.median(v)])
    facial = without_head(field / max(float(field.std()), 1e-6))
    return facial / max(float(facial.std()), 1e-6)


def log_ratio(strain: np.ndarray, v: np.ndarray, u: np.ndarray) -> float:
    """The g for which exp(g) u and v, (28, 28) each of its own unknown unit and zero, are in the same unit.

    The strain of (exp(g) u, v) has no unknown but g and a unit, so it is compared with the picture's by correlation: g
    is the mean of what is then probable. Where the picture's channel turns out to be no strain, the usual ratio.
    """
    fit = np.clip(fits(strain, v, u, LOG_RATIOS), 0, 0.9999)
    usual, spread = USUAL_RATIO
    logarithm = -FREE_CELLS / 2 * np.log(1 - fit**2) - ((LOG_RATIOS - usual) / spread) ** 2 / 2
    probable = np.exp(logarithm - logarithm.max())
    return float(probable @ LOG_RATIOS / probable.sum())


def fits(strain: np.ndarray, v: np.ndarray, u: np.ndarray, log_ratios: np.ndarray) -> np.ndarray:
    """How well `strain` correlates with the strain of (exp(g) u, v), for each g of `log_ratios` (R,): (R,), -1..1."""
    u_y, u_x = np.gradient(u.astype(np.float64))
    v_y, v_x = np.gradient(v.astype(np.float64))
    ratio = np.exp(log_ratios)[:, None, None]
    squared = (ratio * u_x) ** 2 + v_y**2 + 0.5 * (ratio * u_y + v_x) ** 2
    explained = np.sqrt(squared).reshape(len(log_ratios), -1)
    explained -= explained.mean(1, keepdims=True)
    wanted = strain.ravel() - strain.mean(dtype=np.float64)
    lengths = np.linalg.norm(explained, axis=1) * np.linalg.norm(wanted)
    return np.asarray(explained @ wanted / np.maximum(lengths, 1e-9))


def without_head(field: np.ndarray) -> np.ndarray:
    """`field` (2, 28, 28) less the motion of the head, as (2, 32, 32) float32; both cover the crop's inner square."""
    spec = CropSpec()
    full, trust = np.zeros((2, *spec.full), np.float32), np.zeros(spec.full, np.float32)
    trust[spec.inner] = 1
    for axis, values in zip(full, field, strict=True):
        axis[spec.inner] = cv2.resize(values, (spec.size_px, spec.size_px), interpolation=cv2.INTER_LINEAR)
    facial = engine_flow.remove_global_motion(full, trust, spec=spec)[:, *spec.inner]
    return np.stack([cv2.resize(axis, (GRID, GRID), interpolation=cv2.INTER_AREA) for axis in facial])


def transform_flow(flow: np.ndarray, across: float, down: float, drop: float) -> np.ndarray:
    """Flows (N, 2, 32, 32) enlarged about their centre and moved down, the edges repeated."""
    return sampling(down, drop) @ flow @ sampling(across, 0).T


def sampling(zoom: float, shift: float) -> np.ndarray:
    """(32, 32) float32: linear interpolation of a row or column that is enlarged by `zoom` and moved by `shift`."""
    cells = np.arange(GRID)
    middle = (GRID - 1) / 2
    at = (cells - middle - shift * GRID) / zoom + middle
    return np.stack([np.interp(at, cells, cell) for cell in np.eye(GRID)], 1).astype(np.float32)
