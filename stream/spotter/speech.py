"""Merge mouth movements into speech: they look like micro-expressions of the mouth, but they do not come alone."""

from dataclasses import replace
from itertools import pairwise

from merau.stream.spotter.rules import MIN_SNR
from merau.stream.spotter.span import Span


class SpeechMerger:
    """Merge the mouth movements of one face that follow each other into one speech segment.

    The segment keeps the id of its first movement, whose span it corrects. If the others were reported as
    micro-expressions, they are taken back.
    """

    MAX_PAUSE_S = 1.0  # between the apexes of one segment
    NOTICED_S = 0.3  # this long after its apex a mouth movement has been noticed
    MIN_MOVEMENTS = 3
    SAME_MOVEMENT_S = 0.08  # nearer apexes are one movement, seen at several parts of the face

    def __init__(self) -> None:
        self._movements: list[Span] = []
        self._segment: Span | None = None

    def push(self, span: Span) -> list[Span]:
        """Take a short movement; return it as it is to be reported, with corrections of earlier spans."""
        if not _is_mouth_movement(span):
            return [span]
        if self._segment:
            self._movements.append(span)
            self._segment = replace(self._segment, offset_s=max(self._segment.offset_s, span.offset_s))
            return [replace(span, kind="other")]
        self._movements = [s for s in self._movements if span.apex_s - s.apex_s < self.MAX_PAUSE_S] + [span]
        apexes_s = sorted(s.apex_s for s in self._movements)
        if 1 + sum(b - a > self.SAME_MOVEMENT_S for a, b in pairwise(apexes_s)) < self.MIN_MOVEMENTS:
            return [span]
        first, *others = self._movements
        offset_s = max(s.offset_s for s in self._movements)
        self._segment = replace(first, kind="speech", offset_s=offset_s, final=False)
        retracted = [replace(s, kind="other") for s in others if s is span or s.kind in ("micro", "speech")]
        return [self._segment, *retracted]

    def contains(self, span: Span) -> bool:
        """Whether a span that was not reported yet belongs to the present segment."""
        return self._segment is not None and _is_mouth_movement(span)

    def flush(self, t_s: float) -> list[Span]:
        """Return the final segment if no mouth movement came for a while before `t_s`."""
        if not self._segment or t_s - self._movements[-1].apex_s < self.MAX_PAUSE_S + self.NOTICED_S:
            return []
        segment, self._segment, self._movements = self._segment, None, []
        return [replace(segment, final=True)]


def _is_mouth_movement(span: Span) -> bool:
    features = span.features
    at_mouth = features.mouth_share >= 0.6 and features.end_level < 0.5 and features.snr >= MIN_SNR
    return at_mouth and span.kind in ("micro", "speech", "other")
