"""Spot facial movements online: crops of one face in, spans out, each provisional at its apex and final at its end.

A movement is proposed by the flow from 0.2 s before, followed as a trajectory against the crop just before it began,
and classified at its apex and after its offset; the assembler reports each movement once. Everything is causal, every
window is in seconds, and the history has a fixed length.
"""

from typing import Literal

from merau.stream.align import Crop
from merau.stream.spotter.assembler import Decision, SpanAssembler
from merau.stream.spotter.candidates import Candidate, CandidateSet
from merau.stream.spotter.classifier import SpanClassifier, describe
from merau.stream.spotter.extractor import FeatureExtractor
from merau.stream.spotter.features import Flow, flow_on_cpu
from merau.stream.spotter.settings import SpotterSettings
from merau.stream.spotter.span import Span

MAX_FRAME_GAP_S = 0.35  # a longer gap between crops ends all movements


class Spotter:
    """Spot the movements of one track.

    Args:
        classifier: Tells kinds of movements apart.
        settings: How movements are proposed and followed.
        flow: Measures how far the patches of a face moved.

    Attributes:
        classifier: The same; it may be replaced between two crops.
    """

    def __init__(
        self, classifier: SpanClassifier, settings: SpotterSettings | None = None, flow: Flow = flow_on_cpu
    ) -> None:
        self.settings, self.classifier = settings or SpotterSettings(), classifier
        self._extractor = FeatureExtractor(self.settings, flow)
        self._candidates = CandidateSet(self._extractor)
        self._assembler = SpanAssembler(self.settings)

    @property
    def motion_px(self) -> float:
        """Strongest facial motion over the lag, for display."""
        return self._extractor.motion_px

    @property
    def noise_px(self) -> float:
        """Noise floor, for display."""
        return self._extractor.noise_px

    @property
    def state(self) -> Literal["learning", "calm", "moving", "held"]:
        """For display: a face is new, nothing moves, a movement is followed, or an expression is held."""
        if self._candidates.transients or self._candidates.rising:
            return "moving"
        if self._candidates.held:
            return "held"
        age_s = self._extractor.last_s - self._extractor.start_s
        return "calm" if age_s >= self.settings.settle_s else "learning"

    def push(self, crop: Crop) -> list[Span]:
        """Analyse the next crop, which must be later than the one before.

        Returns:
            New provisional and final spans; a span replaces earlier ones with its id.
        """
        sampled = self._extractor.sample(crop)
        if sampled is None:
            return []
        frames = self._extractor.frames
        spans = self.finish() if frames and sampled.t_s - frames[-1].t_s > MAX_FRAME_GAP_S else []
        now = self._extractor.analyse(sampled, self._candidates.skin())
        return spans + self._report(self._candidates.update(now), now.t_s)

    def finish(self) -> list[Span]:
        """End or interrupt the stream: classify every open movement as it stands, and clear the history."""
        spans = self._report(self._candidates.finish(), float("inf"))
        self._extractor.frames.clear()
        return spans

    def _report(self, due: list[Candidate], t_s: float) -> list[Span]:
        decisions = []
        if due:
            probabilities = self.classifier(describe(due, self._candidates.open(), self._extractor))
            decisions = [decide(*pair) for pair in zip(due, probabilities.tolist(), strict=True)]
        return self._assembler.update(decisions, self.classifier.thresholds, t_s)


def decide(candidate: Candidate, probabilities: list[float]) -> Decision:
    """Join a candidate that is due with the classifier's word on it."""
    trajectory = candidate.trajectory
    onset_s, apex_s, offset_s = trajectory.bounds()
    return Decision(
        candidate=candidate.id,
        stage=candidate.stage,
        onset_s=onset_s,
        apex_s=apex_s,
        offset_s=offset_s,
        strength=trajectory.strength_px,
        probabilities=tuple(probabilities),
        onset=trajectory.nearest(onset_s).crop,
        apex=trajectory.nearest(apex_s).crop,
    )
