"""From classified candidates to spans: each movement once, under one id, from its first report to its last.

Candidates of one movement form a cluster by temporal non-maximum suppression. A cluster is new, then provisional, then
final; it is retracted where a provisional report does not hold. It must be less likely to be retracted than it was to
be reported: hysteresis, as in voice activity detectors, which also lend the merging of speech.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from merau.stream.align import Crop
from merau.stream.spotter.candidates import Stage
from merau.stream.spotter.settings import SpotterSettings
from merau.stream.spotter.span import KINDS, Kind, Span

MEASURED_S = 0.05  # error of a measured duration: a movement that seems longer by less is cut to the longest micro
IOU = 0.5  # candidates that overlap so far are one movement
REMEMBERED = 8  # clusters that are final


@dataclass(frozen=True)
class Thresholds:
    """Probabilities from which a kind is reported; `merau-lab spot tune` chooses them.

    Attributes:
        enter: Of a micro-expression at its apex.
        final: Of a micro-expression after its offset.
        leave: Of a micro-expression after its offset that was reported at its apex; below it is taken back.
        macro: Of a macro-expression.
    """

    enter: float = 0.5
    final: float = 0.5
    leave: float = 0.4
    macro: float = 0.5


@dataclass(frozen=True)
class Decision:
    """A candidate with the classifier's word on it.

    Attributes:
        candidate: Id of the candidate.
        stage: When in its course it was classified.
        onset_s: Begin of the movement.
        apex_s: Time of its greatest strength.
        offset_s: End of the movement, as far as it is known.
        strength: Mean motion of its four strongest patches, crop px.
        probabilities: Of `KINDS`.
        onset: The crop at the onset.
        apex: The crop at the apex.
    """

    candidate: int
    stage: Stage
    onset_s: float
    apex_s: float
    offset_s: float
    strength: float
    probabilities: tuple[float, ...]
    onset: Crop
    apex: Crop

    def probability(self, kind: Kind) -> float:
        """How likely it is of this kind."""
        return self.probabilities[KINDS.index(kind)]


@dataclass(eq=False)
class _Cluster:
    """The candidates of one expression: `best` is what is known of it, `open` are those still followed."""

    id: int
    best: Decision
    open: set[int]
    state: Literal["new", "provisional", "final"] = "new"


class SpanAssembler:
    """Merge the candidates of one track into spans.

    Args:
        settings: How movements are spotted.
    """

    def __init__(self, settings: SpotterSettings):
        self._settings, self._thresholds = settings, Thresholds()
        self._clusters: list[_Cluster] = []
        self._once: deque[Span] = deque(maxlen=REMEMBERED)  # final spans that nothing may report again
        self._speech: Span | None = None  # the present stretch of speech
        self._next_id = 0

    def update(self, decisions: Sequence[Decision], thresholds: Thresholds, t_s: float) -> list[Span]:
        """Take the candidates that were classified at `t_s`; returns what is new, final or taken back."""
        self._thresholds = thresholds
        spans = [span for decision in decisions for span in self._take(decision)]
        return spans + self._end_speech(t_s)

    def _take(self, decision: Decision) -> list[Span]:
        cluster = self._cluster_of(decision)
        kind = self._kind(decision, cluster)
        if decision.stage in ("apex", "held"):
            expected = "micro" if decision.stage == "apex" else "macro"
            if kind != expected:
                return []
            cluster = cluster or self._new_cluster(decision)
            cluster.open.add(decision.candidate)
            if cluster.state != "new" or self._is_repeated(self._span(decision, kind, cluster.id, final=True)):
                return []
            cluster.state, cluster.best = "provisional", decision
            return [self._span(decision, kind, cluster.id, final=False)]
        for other in self._clusters:
            other.open.discard(decision.candidate)
        if kind in ("micro", "macro"):
            return self._finish(cluster or self._new_cluster(decision), decision, kind)
        retracted = self._retract(decision)
        is_known = cluster is not None and (bool(cluster.open) or cluster.state == "final")
        if retracted or (is_known and kind != "blink"):
            return retracted  # the movement is reported, or will be, by another candidate
        return self._report_other(decision, kind)

    def _finish(self, cluster: _Cluster, decision: Decision, kind: Kind) -> list[Span]:
        """End a cluster with its first candidate that ended as an expression."""
        span = self._span(decision, kind, cluster.id, final=True)
        if cluster.state == "final" or self._is_repeated(span):
            return self._retract(decision)
        cluster.state, cluster.best = "final", decision
        self._once.append(span)
        return [span, *self._retract(decision)]

    def _retract(self, decision: Decision) -> list[Span]:
        """Take back provisional clusters of which no candidate is left."""
        lost = [cluster for cluster in self._clusters if cluster.state == "provisional" and not cluster.open]
        self._clusters = [cluster for cluster in self._clusters if cluster not in lost]
        return [self._span(decision, "other", cluster.id, final=True) for cluster in lost]

    def _report_other(self, decision: Decision, kind: Kind) -> list[Span]:
        """Report a blink, a turn of the head, or speech."""
        if kind == "other":
            return []
        if kind == "speech":
            return self._hear(decision)
        self._next_id += 1
        span = self._span(decision, kind, self._next_id, final=True)
        if self._is_repeated(span):
            return []
        self._once.append(span)
        return [span]

    def _hear(self, decision: Decision) -> list[Span]:
        """Begin a stretch of speech, or lengthen the present one."""
        speech = self._speech
        if speech and decision.onset_s <= speech.offset_s + self._settings.merge_gap_s:
            self._speech = replace(speech, offset_s=max(speech.offset_s, decision.offset_s))
            return []
        ended = [replace(speech, final=True)] if speech else []
        self._next_id += 1
        self._speech = self._span(decision, "speech", self._next_id, final=False)
        return [*ended, self._speech]

    def _end_speech(self, t_s: float) -> list[Span]:
        speech = self._speech
        if not speech or t_s <= speech.offset_s + self._settings.merge_gap_s + self._settings.decide_s:
            return []
        self._speech = None
        return [replace(speech, final=True)]

    def _kind(self, decision: Decision, cluster: _Cluster | None) -> Kind:
        """The most likely kind that is likely enough; by definition none but a short movement is micro."""
        if decision.stage == "dropped":
            return "other"
        limits = self._thresholds
        least = limits.enter
        if decision.stage == "end":
            least = limits.leave if cluster and cluster.state == "provisional" else limits.final
        is_short = decision.offset_s - decision.onset_s <= self._settings.micro_max_s + MEASURED_S
        micro, macro = decision.probability("micro"), decision.probability("macro")
        if micro >= least and is_short:
            return "micro"
        if micro + macro >= limits.macro and not is_short and decision.stage != "apex":
            return "macro"
        others: tuple[Kind, ...] = ("blink", "head", "speech", "other")
        return max(others, key=decision.probability)

    def _cluster_of(self, decision: Decision) -> _Cluster | None:
        """The cluster of the same movement: the one it was reported by, else by temporal overlap or by the apex."""
        for cluster in reversed(self._clusters):
            reported = cluster.state == "provisional" and decision.candidate in cluster.open
            if reported or self._is_same(cluster.best, decision):
                cluster.open.add(decision.candidate)
                return cluster
        return None

    def _is_same(self, one: Decision, other: Decision) -> bool:
        lengths_s = sorted((one.offset_s - one.onset_s, other.offset_s - other.onset_s))
        common_s = min(one.offset_s, other.offset_s) - max(one.onset_s, other.onset_s)
        whole_s = max(one.offset_s, other.offset_s) - min(one.onset_s, other.onset_s)
        same_apex = abs(one.apex_s - other.apex_s) < self._settings.lag_s and lengths_s[0] >= IOU * lengths_s[1]
        return same_apex or common_s >= IOU * whole_s

    def _new_cluster(self, decision: Decision) -> _Cluster:
        self._next_id += 1
        cluster = _Cluster(self._next_id, decision, set())
        settled = [c for c in self._clusters if c.state != "provisional"]
        forgotten = settled[: max(len(settled) - REMEMBERED, 0)]
        self._clusters = [*(c for c in self._clusters if c not in forgotten), cluster]
        return cluster

    def _is_repeated(self, span: Span) -> bool:
        """Whether a final span of this kind overlaps it: the same movement, or the way back from it."""
        return any(
            span.kind == other.kind and min(span.offset_s, other.offset_s) > max(span.onset_s, other.onset_s)
            for other in self._once
        )

    def _span(self, decision: Decision, kind: Kind, id: int, *, final: bool) -> Span:
        longest_s = self._settings.micro_max_s if kind == "micro" else np.inf
        return Span(
            track_id=decision.apex.track_id,
            id=id,
            onset_s=decision.onset_s,
            apex_s=decision.apex_s,
            offset_s=min(decision.offset_s, decision.onset_s + longest_s),
            kind=kind,
            strength=decision.strength,
            final=final,
            onset=decision.onset,
            apex=decision.apex,
            probability=decision.probability(kind),
        )
