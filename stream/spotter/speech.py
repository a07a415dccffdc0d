"""Speech: syllables look like micro-expressions of the mouth, but they do not come alone."""

from dataclasses import replace
from itertools import pairwise

from merau.stream.spotter.rules import NOISE
from merau.stream.spotter.span import Span


class Speech:
    """Hears the short movements of one face, gathers those of the mouth that come in a row, and names the stretch.

    The stretch keeps the id of its first syllable, so that what was said of that one is corrected; the others, if they
    were said to be micro-expressions, are taken back.
    """

    NEAR_S = 1.0  # between the apexes of one stretch
    NOTICED_S = 0.3  # after its apex a syllable has been noticed
    SYLLABLES = 3
    SAME_S = 0.08  # apexes nearer than this are one movement, seen at several parts of the face

    def __init__(self) -> None:
        self._mouth: list[Span] = []
        self._stretch: Span | None = None

    def hear(self, span: Span) -> list[Span]:
        """`span` as it is to be said, and corrections of what was said before."""
        if not _is_syllable(span):
            return [span]
        if self._stretch:
            self._mouth.append(span)
            self._stretch = replace(self._stretch, offset_s=max(self._stretch.offset_s, span.offset_s))
            return [replace(span, kind="other")]
        self._mouth = [s for s in self._mouth if span.apex_s - s.apex_s < self.NEAR_S] + [span]
        apexes_s = sorted(s.apex_s for s in self._mouth)
        if 1 + sum(b - a > self.SAME_S for a, b in pairwise(apexes_s)) < self.SYLLABLES:
            return [span]
        first, *others = self._mouth
        self._stretch = replace(first, kind="speech", offset_s=max(s.offset_s for s in self._mouth), final=False)
        return [
            self._stretch,
            *(replace(s, kind="other") for s in others if s is span or s.kind in ("micro", "speech")),
        ]

    def goes_on(self, span: Span) -> bool:
        """Whether `span`, of which nothing has been said yet, is a syllable of a stretch that is named already."""
        return self._stretch is not None and _is_syllable(span)

    def end(self, t_s: float) -> list[Span]:
        """The stretch, once nothing has been heard for a while before `t_s`."""
        if not self._stretch or t_s - self._mouth[-1].apex_s < self.NEAR_S + self.NOTICED_S:
            return []
        stretch, self._stretch, self._mouth = self._stretch, None, []
        return [replace(stretch, final=True)]


def _is_syllable(span: Span) -> bool:
    seen = span.evidence
    mouth = seen.mouth_share >= 0.6 and seen.residue < 0.5 and seen.snr >= NOISE
    return mouth and span.kind in ("micro", "speech", "other")
