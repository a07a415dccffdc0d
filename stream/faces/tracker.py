"""Several people followed from frame to frame, each under an id of their own.

A mesh follows its face by itself: the next frame's crop comes from this frame's landmarks. Identity is decided where
that is not enough: when two meshes land on one face, when a face comes back, when somebody else sits in the same place.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from merau.engine.face_mesh import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    NOSE_TIP,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
    Detection,
    FaceNets,
    Mesh,
)
from merau.stream.faces.detectors import open_detector
from merau.stream.faces.quality import Quality, face_size, judge
from merau.stream.faces.settings import FaceSettings
from merau.stream.faces.track import (
    APART,
    ONE_PLACE,
    STRANGE_S,
    USUAL_LOGIT,
    Observation,
    Track,
    centre,
    crowded,
    gap,
    observe,
)
from merau.stream.sources import Frame

SEARCH_S = 5.0  # a lost face counts as missing, and is looked for more often, this long


@dataclass(frozen=True)
class Face:
    """A face in one frame. landmarks: (468, 3) float32 frame px, z on the same scale."""

    track_id: int
    landmarks: np.ndarray
    quality: Quality


class FaceTracker:
    """Feed it frames in order of time; it gives the faces in each. What it does depends on pictures and times only."""

    def __init__(self, settings: FaceSettings | None = None, *, threads: int = 1):
        self.settings = settings or FaceSettings()
        self._nets = FaceNets("wide" if self.settings.detector == "wide" else "short", threads)
        self._detect = open_detector(self.settings.detector, self._nets)
        self._detected_s = -math.inf
        self._unknown_s = math.inf  # since when there has been somebody whom no track fits
        self._tracks: list[Track] = []
        self._ids = itertools.count(1)

    def update(self, frame: Frame) -> list[Face]:
        """Faces in this frame by track id, those too poor to analyse included: their quality says the reason."""
        self._tracks = [track for track in self._tracks if frame.t_s - track.seen_s <= self.settings.forget_s]
        observations = self._follow(frame)
        doubtful = [observation for observation in observations if observation.doubtful]
        if doubtful or self._detection_due(frame.t_s, observations):
            observations += self._find(frame, [observation for observation in observations if not observation.doubtful])
            observations += self._look_again(frame, doubtful)
            self._detected_s = frame.t_s
        seen = self._identify(observations, frame.t_s)
        for track in self._tracks:
            track.in_view = track in seen
        return [self._face(track, seen[track], observations, frame) for track in self._tracks if track in seen]

    def _follow(self, frame: Frame) -> list[Observation]:
        """Where the meshes of the faces in view have gone."""
        observations: list[Observation] = []
        for track in self._tracks:
            if not track.in_view:
                continue
            moved = track.expected(frame.t_s) - track.expected(track.seen_s)
            mesh = self._nets.mesh(frame.image, track.landmarks_at(centre(track.landmarks) + moved))
            if mesh.presence <= self.settings.presence_gate:
                continue
            twin = next((other for other in observations if gap(other.mesh, mesh) < ONE_PLACE), None)
            if twin:
                twin.claims.append(track)
            else:
                observations.append(observe(frame, mesh, [track]))
        for observation in observations:
            observation.doubtful = self._doubtful(observation, observations, frame.t_s)
        return observations

    def _doubtful(self, observation: Observation, observations: list[Observation], t_s: float) -> bool:
        """Has a mesh been drawn to another face, or halfway there? Only where two people are, or just were, close."""
        if not all(track.doubts(observation) for track in observation.claims):
            return len(observation.claims) > 1
        here, reach_px = centre(observation.mesh.landmarks), 2 * face_size(observation.mesh.landmarks)
        return crowded(observation, observations) or any(
            np.linalg.norm(track.expected(t_s) - here) < reach_px
            for track in self._missing(t_s, _followed(observations))
        )

    def _look_again(self, frame: Frame, doubtful: list[Observation]) -> list[Observation]:
        """A mesh drawn astray goes further astray from frame to frame: start it anew where the face should be."""
        again = []
        for track in _followed(doubtful):
            mesh = self._nets.mesh(frame.image, track.landmarks_at(track.expected(frame.t_s)))
            if mesh.presence > self.settings.presence_gate:
                again.append(observe(frame, mesh, [track], doubtful=True))
        return again

    def _detection_due(self, t_s: float, observations: list[Observation]) -> bool:
        if not observations:
            return True
        searching = self._missing(t_s, _followed(observations))
        every_s = self.settings.search_every_s if searching else self.settings.detect_every_s
        return t_s - self._detected_s >= every_s

    def _missing(self, t_s: float, present: list[Track]) -> list[Track]:
        """Who was in view a moment ago and is not present."""
        return [track for track in self._tracks if t_s - track.seen_s <= SEARCH_S and track not in present]

    def _find(self, frame: Frame, known: list[Observation]) -> list[Observation]:
        """Faces that are not known yet. A detector's box is coarse, so the mesh looks twice."""
        found: list[Observation] = []
        for detection in self._detect(frame.image):
            if any(_on_face(detection, observation.mesh) for observation in known + found):
                continue
            mesh = self._nets.mesh(frame.image, detection)
            if mesh.presence > self.settings.presence_gate:
                mesh = self._nets.mesh(frame.image, mesh.landmarks)
            elsewhere = all(gap(observation.mesh, mesh) >= ONE_PLACE for observation in known + found)
            if mesh.presence > self.settings.presence_gate and elsewhere:
                found.append(observe(frame, mesh, []))
        return found

    def _identify(self, observations: list[Observation], t_s: float) -> dict[Track, Observation]:
        """Who is who. Left out is a mesh astray, and who comes out from behind another until the look tells."""
        worth = np.array([[track.worth(s, observations, t_s) for s in observations] for track in self._tracks])
        pairs = best_pairs(worth.reshape(len(self._tracks), len(observations)))
        seen: dict[Track, Observation] = {}
        for row, column in sorted(pairs, key=lambda pair: -worth[pair]):
            if all(gap(observations[column].mesh, other.mesh) >= ONE_PLACE for other in seen.values()):
                seen[self._tracks[row]] = observations[column]
        known = list(seen.values())
        unknown = [observation for observation in observations if observation not in known]
        if t_s == self._detected_s:
            self._unknown_s = min(self._unknown_s, t_s) if unknown else math.inf
        missing = self._missing(t_s, list(seen))
        for observation in unknown:
            if not self._wait(observation, known, missing, t_s):
                track = Track(next(self._ids), observation, t_s)
                self._tracks.append(track)
                seen[track] = observation
        return seen

    def _wait(self, observation: Observation, known: list[Observation], missing: list[Track], t_s: float) -> bool:
        """Better not to call this a new person yet? It may be one whom another half covers, or a mesh on two faces."""
        nearest = min((gap(observation.mesh, other.mesh) for other in known), default=math.inf)
        if not missing and not observation.doubtful:
            return nearest < ONE_PLACE
        half_seen = observation.mesh.logit < self.settings.min_presence * USUAL_LOGIT
        return observation.doubtful or half_seen or nearest < APART or t_s - self._unknown_s < STRANGE_S

    def _face(self, track: Track, observation: Observation, observations: list[Observation], frame: Frame) -> Face:
        mesh, presence = observation.mesh, track.presence(observation.mesh)
        quality = judge(
            mesh, observation.thumb, presence, frame.image.shape, self.settings, analysed=track.in_plain_view
        )
        track.learn(observation, observations, frame.t_s, in_plain_view=not quality.reason)
        return Face(track.id, mesh.landmarks, quality)


def _followed(observations: list[Observation]) -> list[Track]:
    """The tracks whose meshes led to these observations."""
    return [track for observation in observations for track in observation.claims]


def _on_face(detection: Detection, mesh: Mesh) -> bool:
    """Does the detector see the face that the mesh is already on? By both eyes and the nose."""
    x_y = mesh.landmarks[:, :2]
    eyes = (x_y[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]] + x_y[[RIGHT_EYE_INNER, LEFT_EYE_INNER]]) / 2
    apart_px = detection.keypoints[:3] - np.vstack([eyes, x_y[NOSE_TIP]])
    return float(np.linalg.norm(apart_px.mean(axis=0))) < ONE_PLACE * face_size(mesh.landmarks)


def best_pairs(worth: np.ndarray) -> list[tuple[int, int]]:
    """(row, column) pairs of a matrix with the largest sum, none of 0 or less, each row and column used once.

    By exchanges of two, the most gainful first, for as long as one gains: exact for two people, near it for a crowd.
    """
    rows, columns = worth.shape
    if rows == columns == 1:
        return [(0, 0)] if worth[0, 0] > 0 else []
    size = rows + columns + 1  # room for everybody to have nobody
    padded = np.zeros((size, size))
    padded[:rows, :columns] = worth.clip(min=0)
    row_of = np.arange(size)
    while True:
        swapped = padded[row_of]  # [i, j]: what the row of column i is worth in column j
        now = swapped.diagonal()
        gain = swapped + swapped.T - now[:, None] - now
        one, other = np.unravel_index(gain.argmax(), gain.shape)
        if gain[one, other] <= 1e-9:
            break
        row_of[[one, other]] = row_of[[other, one]]
    pairs = [(int(row_of[column]), column) for column in range(columns)]
    return [(row, column) for row, column in pairs if row < rows and worth[row, column] > 0]
