"""Speech: syllables look like micro-expressions of the mouth, but they do not come alone."""

from collections import deque
from dataclasses import replace

from stream.spotter.span import Span


class Speech:
    """Hears the short movements of one face and takes back those that belong to talking."""

    NEAR_S = 1.0  # between the apexes of one stretch
    SYLLABLES = 3

    def __init__(self) -> None:
        self._mouth: deque[Span] = deque(maxlen=8)

    def hear(self, span: Span) -> list[Span]:
        """`span` as it is to be said, and earlier ones, already said as micro, that turn out to be speech."""
        if span.evidence.mouth_share < 0.6:
            return [span]
        while self._mouth and span.apex_s - self._mouth[0].apex_s > self.NEAR_S:
            self._mouth.popleft()
        self._mouth.append(span)
        if len(self._mouth) < self.SYLLABLES:
            return [span]
        said = [replace(s, kind="speech") for s in self._mouth if s.kind == "micro" or s is span]
        self._mouth = deque((replace(s, kind="speech") for s in self._mouth), maxlen=8)
        return said
