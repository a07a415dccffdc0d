"""How well coders agree on when which movement happened, and on its class."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from merau.engine.errors import UserError
from merau.engine.validation import check_range
from merau.stream.events import KINDS
from merau.stream.study.coded import CodedSpan, JointRecording
from merau.stream.summary import EXPRESSIONS

EDGES = ("onset", "apex", "offset")
BOTH = "micro and macro"


@dataclass(frozen=True)
class AgreementSettings:
    """How codings are compared.

    Attributes:
        min_iou: Overlap (intersection over union) from which on two spans are the same movement.
        bin_s: Width of the time bins in which coders are compared, in seconds.
        resamples: Resamples of the recordings for the intervals.
        seed: Of the resamples.
    """

    min_iou: float = 0.5
    bin_s: float = 0.1
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(self, "min_iou", above=0, high=1)
        check_range(self, "bin_s", low=0.01, high=10)
        check_range(self, "resamples", low=100, high=100_000)


@dataclass(frozen=True)
class Score:
    """A figure with its 95% interval over resampled recordings; None where it is not defined.

    Kappa and alpha are not defined where nothing was coded by anyone.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Detections:
    """How a kind or a class that A found compares with B's.

    Attributes:
        name: The kind or class.
        a: Number of A's spans.
        b: Number of B's spans.
        matched: How many are the same.
        precision: Share of A's that B has, too.
        recall: Share of B's that A has, too.
        f1: Their harmonic mean.
    """

    name: str
    a: int
    b: int
    matched: int
    precision: Score
    recall: Score
    f1: Score


@dataclass(frozen=True)
class Difference:
    """How A's times differ from B's, A minus B, of spans that match and have the same kind.

    Attributes:
        edge: onset, apex or offset.
        duration_ms: How long B's span of each pair is.
        difference_ms: Of each pair.
    """

    edge: str
    duration_ms: np.ndarray
    difference_ms: np.ndarray

    @property
    def limits_ms(self) -> tuple[float, float]:
        """Limits of agreement: mean difference and 1.96 standard deviations (Bland and Altman 1986)."""
        spread = 1.96 * float(self.difference_ms.std(ddof=1)) if len(self.difference_ms) > 1 else 0.0
        mean = float(self.difference_ms.mean())
        return mean - spread, mean + spread


@dataclass(frozen=True)
class Disagreement:
    """A movement on which two coders disagree.

    Attributes:
        recording: Index of the recording.
        what: In a few words.
        a: A's span; None if A has none.
        b: B's span; None if B has none.
    """

    recording: int
    what: str
    a: CodedSpan | None
    b: CodedSpan | None


@dataclass(frozen=True)
class PairAgreement:
    """How well two coders agree; A is compared with B.

    Attributes:
        a: Name of A.
        b: Name of B, whose coding counts as the truth for precision and recall.
        kinds: Of each kind, and of micro- and macro-expressions together.
        classes: Of each class of expressions to which both gave one.
        bin_kappa: Cohen's kappa of each kind over time bins: is there a movement of this kind?
        kind_kappa: Cohen's kappa of the kinds of spans that match whatever their kind.
        class_kappa: The same of classes.
        megc_f1: F1 of micro- and macro-expressions together, as in the spotting challenges of MEGC.
        strs: F1 of micro-expressions times the unweighted F1 of the classes of those that match (MEGC 2025).
        differences: Of onsets, apexes and offsets, where both have them.
        disagreements: By recording and time.
    """

    a: str
    b: str
    kinds: tuple[Detections, ...]
    classes: tuple[Detections, ...]
    bin_kappa: dict[str, Score]
    kind_kappa: Score
    class_kappa: Score
    megc_f1: Score
    strs: Score
    differences: tuple[Difference, ...]
    disagreements: tuple[Disagreement, ...]


@dataclass(frozen=True)
class Agreement:
    """How well some coders agree.

    Attributes:
        kinds: The kinds that are compared.
        pairs: Each two coders.
        alpha: Krippendorff's alpha of all coders for each kind, nominal, over time bins.
    """

    kinds: tuple[str, ...]
    pairs: tuple[PairAgreement, ...]
    alpha: dict[str, Score]


def agree(
    names: Sequence[str],
    recordings: Sequence[JointRecording],
    kinds: Sequence[str] | None = None,
    settings: AgreementSettings | None = None,
) -> Agreement:
    """Compare coders.

    Args:
        names: Of the coders.
        recordings: With the spans of each coder.
        kinds: The kinds to compare; by default those that all coders use.
        settings: How to compare.

    Raises:
        UserError: No kind is used by all coders.
    """
    settings = settings or AgreementSettings()
    used = [{span.kind for recording in recordings for span in recording.spans[i]} for i in range(len(names))]
    chosen = tuple(kind for kind in KINDS if (kind in kinds if kinds else all(kind in own for own in used)))
    if not chosen:
        raise UserError(
            "{a} and {b} have no kind of movement in common: {kinds_a} and {kinds_b}.",
            a=names[0],
            b=names[1],
            kinds_a=", ".join(sorted(used[0])) or "none",
            kinds_b=", ".join(sorted(used[1])) or "none",
        )
    weights = _resample(len(recordings), settings)
    pairs = tuple(
        _compare((names[i], names[j]), [_two(recording, i, j, chosen) for recording in recordings], chosen, settings)
        for i, j in combinations(range(len(names)), 2)
    )
    alpha: dict[str, Score] = {}
    for kind in chosen:
        votes = np.stack([_votes(recording, kind, settings.bin_s) for recording in recordings])
        alpha[kind] = _score(votes, _alpha, weights)
    return Agreement(chosen, pairs, alpha)


@dataclass(frozen=True)
class _Two:
    """The spans of two coders in one recording."""

    a: tuple[CodedSpan, ...]
    b: tuple[CodedSpan, ...]
    end_s: float


def _two(recording: JointRecording, i: int, j: int, kinds: Sequence[str]) -> _Two:
    a, b = (tuple(span for span in recording.spans[k] if span.kind in kinds) for k in (i, j))
    return _Two(a, b, recording.end_s)


def match_spans(a: Sequence[CodedSpan], b: Sequence[CodedSpan], min_iou: float) -> list[tuple[int, int]]:
    """Match spans one to one: as many as overlap enough, and of these the best (Hungarian method)."""
    if not a or not b:
        return []
    overlap = np.array([[iou(first, second) for second in b] for first in a])
    rows, columns = linear_sum_assignment(np.where(overlap >= min_iou, 1 + overlap, 0), maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if overlap[i, j] >= min_iou]


def iou(a: CodedSpan, b: CodedSpan) -> float:
    """Return intersection over union of two spans."""
    common_s = min(a.offset_s, b.offset_s) - max(a.onset_s, b.onset_s)
    return max(common_s, 0.0) / (max(a.offset_s, b.offset_s) - min(a.onset_s, b.onset_s))


def _compare(
    names: tuple[str, str], recordings: Sequence[_Two], kinds: Sequence[str], settings: AgreementSettings
) -> PairAgreement:
    weights = _resample(len(recordings), settings)
    per_kind = {kind: np.array([_count(two, kind, settings.min_iou) for two in recordings]) for kind in kinds}
    expressions = [kind for kind in kinds if kind in EXPRESSIONS]
    total = sum((per_kind[kind] for kind in expressions), np.zeros((len(recordings), 3), int))
    rows = dict(per_kind) | ({BOTH: total} if len(expressions) > 1 else {})
    any_kind = [match_spans(two.a, two.b, settings.min_iou) for two in recordings]
    pairs = [[(two.a[i], two.b[j]) for i, j in found] for two, found in zip(recordings, any_kind, strict=True)]
    kind_tables = np.array([_table([(a.kind, b.kind) for a, b in found], kinds) for found in pairs])
    labelled = [[(_label(a), _label(b)) for a, b in found if _label(a) and _label(b)] for found in pairs]
    classes = sorted({label for found in labelled for pair in found for label in pair})
    class_tables = np.array([_table(found, classes) for found in labelled])
    micro = [_labels_of_micro(found) for found in pairs]
    micro_tables = np.array([_table(found, classes) for found in micro])
    bins = {kind: np.array([_bin_table(two, kind, settings.bin_s) for two in recordings]) for kind in kinds}
    return PairAgreement(
        *names,
        kinds=tuple(_detections(name, counts, weights) for name, counts in rows.items()),
        classes=tuple(_detections(name, _of_class(class_tables, i), weights) for i, name in enumerate(classes)),
        bin_kappa={kind: _score(table, _kappa, weights) for kind, table in bins.items()},
        kind_kappa=_score(kind_tables, _kappa, weights),
        class_kappa=_score(class_tables, _kappa, weights),
        megc_f1=_score(total, _f1, weights),
        strs=_strs(per_kind.get("micro", np.zeros((len(recordings), 3))), micro_tables, weights),
        differences=_differences([pair for found in pairs for pair in found if pair[0].kind == pair[1].kind]),
        disagreements=tuple(_disagreements(recordings, any_kind)),
    )


def _label(span: CodedSpan) -> str:
    """Return the class of an expression as it is compared; "" for none."""
    return (span.label or "").strip().casefold() if span.kind in EXPRESSIONS else ""


def _labels_of_micro(pairs: Sequence[tuple[CodedSpan, CodedSpan]]) -> list[tuple[str, str]]:
    found = [(a, b) for a, b in pairs if a.kind == b.kind == "micro"]
    return [(_label(a), _label(b)) for a, b in found if _label(a) and _label(b)]


def _count(two: _Two, kind: str, min_iou: float) -> tuple[int, int, int]:
    """Return how many spans of a kind match, and how many A and B have."""
    a, b = ([span for span in spans if span.kind == kind] for spans in (two.a, two.b))
    return len(match_spans(a, b, min_iou)), len(a), len(b)


def _table(pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> np.ndarray:
    """Count pairs of names: A's by row, B's by column."""
    table = np.zeros((len(names), len(names)), int)
    for (a, b), number in Counter(pairs).items():
        table[names.index(a), names.index(b)] += number
    return table


def _of_class(tables: np.ndarray, i: int) -> np.ndarray:
    """Return for each recording how often A and B agree on class i, and how often each of them states it."""
    return np.stack([tables[:, i, i], tables[:, i].sum(axis=1), tables[:, :, i].sum(axis=1)], axis=1)


def _is_on(spans: Sequence[CodedSpan], kind: str, end_s: float, bin_s: float) -> np.ndarray:
    """Return for each time bin whether a span of this kind covers its middle."""
    middles_s = (np.arange(math.ceil(end_s / bin_s)) + 0.5) * bin_s
    on = np.zeros(len(middles_s), bool)
    for span in spans:
        if span.kind == kind:
            on |= (span.onset_s <= middles_s) & (middles_s < span.offset_s)
    return on


def _bin_table(two: _Two, kind: str, bin_s: float) -> np.ndarray:
    a, b = (_is_on(spans, kind, two.end_s, bin_s).astype(int) for spans in (two.a, two.b))
    return np.bincount(2 * a + b, minlength=4).reshape(2, 2)


def _votes(recording: JointRecording, kind: str, bin_s: float) -> np.ndarray:
    """Count time bins by how many coders say that there is a movement of this kind, from none to all."""
    votes = sum(_is_on(spans, kind, recording.end_s, bin_s).astype(int) for spans in recording.spans)
    return np.bincount(np.asarray(votes, int), minlength=len(recording.spans) + 1)


def _resample(count: int, settings: AgreementSettings) -> np.ndarray:
    """Return how often each recording is in each resample, (resamples, count)."""
    return np.random.default_rng(settings.seed).multinomial(count, np.full(count, 1 / count), settings.resamples)


Statistic = Callable[[np.ndarray], np.ndarray]


def _score(counts: np.ndarray, statistic: Statistic, weights: np.ndarray) -> Score:
    """Return a statistic of the counts of all recordings, with its percentile interval.

    Args:
        counts: (N, ...) of each recording.
        statistic: Takes summed counts (..., the same), returns (...,).
        weights: (resamples, N).
    """
    value = float(statistic(counts.sum(axis=0)[None])[0])
    if len(counts) < 2 or math.isnan(value):
        return Score(None if math.isnan(value) else round(value, 4))
    resampled = statistic(np.tensordot(weights, counts, axes=1))
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return Score(round(value, 4), round(float(low), 4), round(float(high), 4))


def _detections(name: str, counts: np.ndarray, weights: np.ndarray) -> Detections:
    matched, a, b = (int(number) for number in counts.sum(axis=0))
    scores = (_score(counts, statistic, weights) for statistic in (_precision, _recall, _f1))
    return Detections(name, a, b, matched, *scores)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)
    return ratio


def _precision(counts: np.ndarray) -> np.ndarray:
    return _ratio(counts[..., 0].astype(float), counts[..., 1])


def _recall(counts: np.ndarray) -> np.ndarray:
    return _ratio(counts[..., 0].astype(float), counts[..., 2])


def _f1(counts: np.ndarray) -> np.ndarray:
    return _ratio(2.0 * counts[..., 0], counts[..., 1] + counts[..., 2])


def _kappa(tables: np.ndarray) -> np.ndarray:
    """Return Cohen's kappa (1960) of tables (..., K, K)."""
    total = tables.sum(axis=(-2, -1)).astype(float)
    observed = _ratio(np.trace(tables, axis1=-2, axis2=-1).astype(float), total)
    expected = _ratio((tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1).astype(float), total**2)
    return _ratio(observed - expected, 1 - expected)


def _alpha(votes: np.ndarray) -> np.ndarray:
    """Return Krippendorff's alpha (2004) of yes and no from counts of units by their number of yes (..., coders + 1).

    Of the values of a unit each is paired with each other one; alpha is 1 - (n - 1) o01 / (n0 n1), where o01 counts
    unequal pairs, each by 1 / (coders - 1), and n0 and n1 count no and yes.
    """
    coders = votes.shape[-1] - 1
    yes = np.arange(coders + 1)
    unequal = (votes * yes * (coders - yes)).sum(axis=-1) / (coders - 1)
    ones = (votes * yes).sum(axis=-1).astype(float)
    zeros = coders * votes.sum(axis=-1) - ones
    return 1 - _ratio((ones + zeros - 1) * unequal, ones * zeros)


def _unweighted_f1(tables: np.ndarray) -> np.ndarray:
    """Return the mean F1 of the classes that occur in tables (..., K, K)."""
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    f1 = _ratio(2.0 * hits, tables.sum(axis=-1) + tables.sum(axis=-2))
    occurs = ~np.isnan(f1)
    return _ratio(np.where(occurs, f1, 0.0).sum(axis=-1), occurs.sum(axis=-1))


def _strs(counts: np.ndarray, tables: np.ndarray, weights: np.ndarray) -> Score:
    size = tables.shape[-1]
    both = np.concatenate([counts, tables.reshape(len(tables), -1)], axis=1)
    if not size:
        return Score(None)
    return _score(both, lambda all: _f1(all) * _unweighted_f1(all[..., 3:].reshape(-1, size, size)), weights)


def _differences(pairs: Sequence[tuple[CodedSpan, CodedSpan]]) -> tuple[Difference, ...]:
    found = []
    for edge in EDGES:
        times = [(getattr(a, f"{edge}_s"), getattr(b, f"{edge}_s"), b.offset_s - b.onset_s) for a, b in pairs]
        known = np.array([row for row in times if None not in row], float).reshape(-1, 3)
        if len(known):
            found.append(Difference(edge, 1e3 * known[:, 2], 1e3 * (known[:, 0] - known[:, 1])))
    return tuple(found)


def _disagreements(recordings: Sequence[_Two], matches: Sequence[list[tuple[int, int]]]) -> list[Disagreement]:
    found = []
    for index, (two, pairs) in enumerate(zip(recordings, matches, strict=True)):
        both_a, both_b = ({pair[side] for pair in pairs} for side in (0, 1))
        own = [_between(index, two.a[i], two.b[j]) for i, j in pairs]
        own += [Disagreement(index, "only A", span, None) for i, span in enumerate(two.a) if i not in both_a]
        own += [Disagreement(index, "only B", None, span) for j, span in enumerate(two.b) if j not in both_b]
        found += sorted((item for item in own if item), key=_start_s)
    return found


def _between(index: int, a: CodedSpan, b: CodedSpan) -> Disagreement | None:
    if a.kind != b.kind:
        return Disagreement(index, f"{a.kind} or {b.kind}", a, b)
    if _label(a) and _label(b) and _label(a) != _label(b):
        return Disagreement(index, f"{a.label} or {b.label}", a, b)
    return None


def _start_s(item: Disagreement) -> float:
    return min(span.onset_s for span in (item.a, item.b) if span)


def difference_figures(difference: Difference) -> dict[str, Any]:
    """Return the figures of a difference, in ms: A minus B."""
    values, (low, high) = difference.difference_ms, difference.limits_ms
    return {
        "edge": difference.edge,
        "pairs": len(values),
        "median_ms": round(float(np.median(np.abs(values))), 1),
        "p95_ms": round(float(np.percentile(np.abs(values), 95)), 1),
        "mean_ms": round(float(values.mean()), 1),
        "limits_ms": [round(low, 1), round(high, 1)],
    }
