"""Score spotted intervals as the field does, and as public scoring codes do.

The protocol is that of the Micro-Expression Grand Challenge (MEGC 2020 and later): an interval is found if its
intersection over union with a true one of the same video and kind is at least 0.5, one to one; true, found and false
intervals are pooled over all videos, then F1 is taken for micro- and macro-expressions and for both. Frames are
inclusive. Intervals in videos without truth are false, and people without intervals count.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from merau.engine.csv_table import parse_decimal, read_csv
from merau.engine.errors import UserError

IOU = 0.5
KINDS = ("micro", "macro")
REQUIRED = ("subject", "video", "kind", "onset", "offset")


@dataclass(frozen=True)
class Interval:
    """A true or a spotted movement.

    Attributes:
        subject: Who.
        video: In which video of this subject.
        kind: "micro" or "macro".
        onset: First frame.
        offset: Last frame, part of the movement.
        label: Its class, "" where it has none.
    """

    subject: str
    video: str
    kind: str
    onset: float
    offset: float
    label: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Subject and video."""
        return self.subject, self.video


Pairs = list[tuple[int, int]]  # indices of a true and of a spotted interval


@dataclass(frozen=True)
class Counts:
    """Outcome of one kind, pooled over all videos.

    Attributes:
        true: True intervals.
        spotted: Spotted intervals.
        found: What counts as found.
        right: Pairs of a true and a spotted interval, for the class.
    """

    true: int
    spotted: int
    found: int
    right: tuple[tuple[Interval, Interval], ...]

    def __add__(self, other: "Counts") -> "Counts":
        """Pool two kinds."""
        right = self.right + other.right
        return Counts(self.true + other.true, self.spotted + other.spotted, self.found + other.found, right)

    def scores(self) -> dict[str, Any]:
        """Return counts, precision, recall and F1."""
        precision, recall = _ratio(self.found, self.spotted), _ratio(self.found, self.true)
        f1 = _ratio(2 * precision * recall, precision + recall)
        counts = {"true": self.true, "spotted": self.spotted, "found": self.found}
        return counts | {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}


def read_intervals(path: Path) -> list[Interval]:
    """Read a CSV with the columns subject, video, kind, onset and offset, and label where it is known.

    Raises:
        UserError: The table cannot be read, or a row is wrong.
    """
    content = read_csv(path)
    if missing := [name for name in REQUIRED if name not in content.header]:
        raise UserError("{path} lacks the column {columns}.", path=path, columns=", ".join(missing))
    intervals = []
    for line, row in content.rows(REQUIRED):
        onset, offset = parse_decimal(row["onset"]), parse_decimal(row["offset"])
        if onset is None or offset is None or offset < onset:
            raise UserError(
                "{path}, line {line}: onset and offset must be frames, in this order.", path=path, line=line
            )
        if row["kind"] not in KINDS:
            raise UserError("{path}, line {line}: kind must be micro or macro.", path=path, line=line)
        intervals.append(Interval(row["subject"], row["video"], row["kind"], onset, offset, row.get("label", "")))
    return intervals


def iou(one: Interval, other: Interval, last: int = 1) -> float:
    """Return the intersection over union; `last` is 1 where offset frames are part of the movement, else 0."""
    common = min(one.offset, other.offset) - max(one.onset, other.onset) + last
    whole = one.offset - one.onset + other.offset - other.onset + 2 * last - max(common, 0)
    return max(common, 0) / whole if whole > 0 else 0.0


def overlaps(true: Sequence[Interval], spotted: Sequence[Interval], last: int = 1) -> np.ndarray:
    """Return the intersection over union of each pair, (true, spotted); 0 in different videos."""
    table = np.zeros((len(true), len(spotted)))
    for i, one in enumerate(true):
        for j, other in enumerate(spotted):
            if one.place == other.place:
                table[i, j] = iou(one, other, last)
    return table


def count_megc(true: Sequence[Interval], spotted: Sequence[Interval]) -> Counts:
    """Match one to one, as many as possible, and of those the best overlaps."""
    table = overlaps(true, spotted)
    rows, columns = linear_sum_assignment(np.where(table >= IOU, 1 + table, 0), maximize=True)
    pairs = [(i, j) for i, j in zip(rows, columns, strict=True) if table[i, j] >= IOU]
    return Counts(len(true), len(spotted), len(pairs), tuple((true[i], spotted[j]) for i, j in pairs))


def count_me_tst(true: Sequence[Interval], spotted: Sequence[Interval]) -> Counts:
    """Match one to one, each spotted interval in turn with the best that is left: a later one may go empty-handed."""
    table = overlaps(true, spotted)
    pairs: Pairs = []
    for j in range(len(spotted)):
        left = [i for i in range(len(true)) if i not in {i for i, _ in pairs}]
        best = max(left, key=table[:, j].__getitem__, default=None)
        if best is not None and table[best, j] >= IOU:
            pairs.append((best, j))
    return Counts(len(true), len(spotted), len(pairs), tuple((true[i], spotted[j]) for i, j in pairs))


def count_strs(true: Sequence[Interval], spotted: Sequence[Interval]) -> Counts:
    """Count every overlapping pair, and leave out people without intervals and videos without truth."""
    people, videos = {interval.subject for interval in spotted}, {interval.place for interval in true}
    true = [interval for interval in true if interval.subject in people]
    spotted = [interval for interval in spotted if interval.place in videos]
    hit = overlaps(true, spotted) >= IOU
    found, false, missed = int(hit.sum()), int((~hit.any(axis=0)).sum()), int((~hit.any(axis=1)).sum())
    return Counts(found + missed, found + false, found, tuple((true[i], spotted[j]) for i, j in np.argwhere(hit)))


def count_auw_gcn(true: Sequence[Interval], spotted: Sequence[Interval]) -> Counts:
    """Count every spotted interval that overlaps any true one by more than half, so that recall may exceed 1."""
    table = overlaps(true, spotted, last=0)
    found = int((table > IOU).any(axis=0).sum()) if len(true) else 0
    pairs = tuple((true[i], spotted[j]) for i, j in np.argwhere(table > IOU))
    return Counts(len(true), len(spotted), found, pairs)


Count = Callable[[Sequence[Interval], Sequence[Interval]], Counts]
SCORED_AS: dict[str, Count] = {
    "megc": count_megc,
    "strs": count_strs,
    "me-tst": count_me_tst,
    "auw-gcn": count_auw_gcn,
}


def score_intervals(true: Sequence[Interval], spotted: Sequence[Interval], score_as: str = "megc") -> dict[str, Any]:
    """Return the scores of micro- and macro-expressions, of both, and STRS where intervals have labels.

    Args:
        true: The ground truth.
        spotted: What was spotted.
        score_as: A key of SCORED_AS; all but "megc" repeat what a public scoring code does.
    """
    count = SCORED_AS[score_as]
    of_kind = {kind: count(*([i for i in part if i.kind == kind] for part in (true, spotted))) for kind in KINDS}
    of_kind["overall"] = of_kind["micro"] + of_kind["macro"]
    document: dict[str, Any] = {"scored_as": score_as, "iou": IOU}
    document |= {kind: counts.scores() for kind, counts in of_kind.items()}
    if any(interval.label for interval in spotted):
        document["classes"] = score_classes(of_kind["overall"], score_as)
    return document


def score_classes(counts: Counts, score_as: str = "megc") -> dict[str, float]:
    """Return F1, UF1 and UAR of the classes of what was found, and STRS: F1 of spotting times F1 of the classes.

    F1 is that of the mean precision and the mean recall. The public code of STRS calls its mean precision UAR.
    """
    pairs = [(one.label, other.label) for one, other in counts.right]
    labels = sorted({label for pair in pairs for label in pair})
    right = {label: sum(pair == (label, label) for pair in pairs) for label in labels}
    precision = [_ratio(right[label], sum(said == label for _, said in pairs)) for label in labels]
    recall = [_ratio(right[label], sum(is_ == label for is_, _ in pairs)) for label in labels]
    f1s = [_ratio(2 * p * r, p + r) for p, r in zip(precision, recall, strict=True)]
    p, r = (float(np.mean(values)) if values else 0.0 for values in (precision, recall))
    f1 = _ratio(2 * p * r, p + r)
    scores = {"f1": f1, "uf1": float(np.mean(f1s)) if f1s else 0.0, "uar": p if score_as == "strs" else r}
    scores["strs"] = counts.scores()["f1"] * f1
    return {name: round(value, 4) for name, value in scores.items()}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
