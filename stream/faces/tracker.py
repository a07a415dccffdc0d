"""Track several people from frame to frame, each under an id of their own.

A mesh follows its face by itself: its next crop comes from the landmarks of this frame. Identity is decided where that
is not enough: when two meshes land on one face, when a face returns, when somebody else sits down in the same place.
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
from merau.stream.faces.quality import Quality, assess, face_size
from merau.stream.faces.settings import FaceSettings
from merau.stream.faces.track import (
    OCCLUSION_DISTANCE,
    OTHER_PERSON_S,
    SAME_FACE_DISTANCE,
    WHOLE_FACE_LOGIT,
    Observation,
    Track,
    face_centre,
    face_distance,
    is_near_another_face,
    observe,
)
from merau.stream.sources import Frame

SEARCH_S = 5.0  # for this long a lost face counts as missing and is searched for more often


@dataclass(frozen=True)
class Face:
    """A face in one frame.

    Attributes:
        track_id: Id of the person.
        landmarks: (468, 3) float32 frame px, z on the same scale.
        quality: Whether and how well it can be analysed.
    """

    track_id: int
    landmarks: np.ndarray
    quality: Quality


class FaceTracker:
    """Find and track the faces in the frames of one source.

    The result depends on the images and times of the frames only.
    """

    def __init__(self, settings: FaceSettings | None = None, *, threads: int = 1):
        self.settings = settings or FaceSettings()
        self._nets = FaceNets("wide" if self.settings.detector == "wide" else "short", threads)
        self._detect = open_detector(self.settings.detector, self._nets)
        self._detected_s = -math.inf
        self._unmatched_s = math.inf  # since when a face has been seen that fits no track
        self._tracks: list[Track] = []
        self._ids = itertools.count(1)

    def update(self, frame: Frame) -> list[Face]:
        """Find the faces in `frame`, which must be later than the one before.

        Returns:
            The faces in the order of their tracks, those too poor to analyse included: their quality has a reason.
        """
        self._tracks = [track for track in self._tracks if frame.t_s - track.seen_s <= self.settings.forget_s]
        observations = self._follow(frame)
        drifting = [observation for observation in observations if observation.drift_suspected]
        if drifting or self._detection_due(frame.t_s, observations):
            certain = [observation for observation in observations if not observation.drift_suspected]
            observations += self._detect_new(frame, certain)
            observations += self._reinitialize(frame, drifting)
            self._detected_s = frame.t_s
        seen = self._identify(observations, frame.t_s)
        for track in self._tracks:
            track.in_view = track in seen
        return [self._face(track, seen[track], observations, frame) for track in self._tracks if track in seen]

    def _follow(self, frame: Frame) -> list[Observation]:
        """Move the meshes of the faces in view to this frame."""
        observations: list[Observation] = []
        places = [t.expected_position(frame.t_s) for t in self._tracks if frame.t_s - t.seen_s <= SEARCH_S]
        for track in self._tracks:
            if not track.in_view:
                continue
            here = track.expected_position(frame.t_s)
            moved = here - track.expected_position(track.seen_s)
            expected = track.landmarks_at(face_centre(track.landmarks) + moved)
            near = np.linalg.norm(np.subtract(places, here), axis=1) < 2 * face_size(track.landmarks)
            if near.sum() == 1 and (carried := track.carry(frame, expected)):  # with another face near, it may slip
                observations.append(carried)
                continue
            mesh = self._nets.mesh(frame.image, expected)
            if mesh.presence <= self.settings.presence_gate:
                continue
            same = next((o for o in observations if face_distance(o.mesh, mesh) < SAME_FACE_DISTANCE), None)
            if same:
                same.source_tracks.append(track)
            else:
                observations.append(observe(frame, mesh, [track]))
        for observation in observations:
            observation.drift_suspected = self._suspect_drift(observation, observations, frame.t_s)
        return observations

    def _suspect_drift(self, observation: Observation, observations: list[Observation], t_s: float) -> bool:
        """Whether a mesh may be on, or between, other faces: only where two people are, or just were, close."""
        if not all(track.is_ambiguous(observation) for track in observation.source_tracks):
            return len(observation.source_tracks) > 1
        here, reach_px = face_centre(observation.mesh.landmarks), 2 * face_size(observation.mesh.landmarks)
        return is_near_another_face(observation, observations) or any(
            np.linalg.norm(track.expected_position(t_s) - here) < reach_px
            for track in self._missing(t_s, _source_tracks(observations))
        )

    def _reinitialize(self, frame: Frame, drifting: list[Observation]) -> list[Observation]:
        """Start drifting meshes again where their faces should be: a drift grows from frame to frame."""
        restarted = []
        for track in _source_tracks(drifting):
            mesh = self._nets.mesh(frame.image, track.landmarks_at(track.expected_position(frame.t_s)))
            if mesh.presence > self.settings.presence_gate:
                restarted.append(observe(frame, mesh, [track], drift_suspected=True))
        return restarted

    def _detection_due(self, t_s: float, observations: list[Observation]) -> bool:
        if not observations:
            return True
        searching = self._missing(t_s, _source_tracks(observations))
        every_s = self.settings.search_every_s if searching else self.settings.detect_every_s
        return t_s - self._detected_s >= every_s

    def _missing(self, t_s: float, present: list[Track]) -> list[Track]:
        """Tracks that were in view a moment ago and are not present."""
        return [track for track in self._tracks if t_s - track.seen_s <= SEARCH_S and track not in present]

    def _detect_new(self, frame: Frame, known: list[Observation]) -> list[Observation]:
        """Detect faces that are not known yet. The mesh runs twice, because a detector's box is coarse."""
        found: list[Observation] = []
        for detection in self._detect(frame.image):
            if any(_is_on_face(detection, observation.mesh) for observation in known + found):
                continue
            mesh = self._nets.mesh(frame.image, detection)
            if mesh.presence > self.settings.presence_gate:
                mesh = self._nets.mesh(frame.image, mesh.landmarks)
            is_new = all(face_distance(other.mesh, mesh) >= SAME_FACE_DISTANCE for other in known + found)
            if mesh.presence > self.settings.presence_gate and is_new:
                found.append(observe(frame, mesh, []))
        return found

    def _identify(self, observations: list[Observation], t_s: float) -> dict[Track, Observation]:
        """Assign observations to tracks, and start tracks for new people.

        Left out are drifted meshes, and people who come out from behind another until it is certain who they are.
        """
        seen = self._assign(observations, t_s)
        known = list(seen.values())
        unmatched = [observation for observation in observations if observation not in known]
        if t_s == self._detected_s:
            self._unmatched_s = min(self._unmatched_s, t_s) if unmatched else math.inf
        missing = self._missing(t_s, list(seen))
        for observation in unmatched:
            if not self._defer_new_track(observation, known, missing, t_s):
                track = Track(next(self._ids), observation, t_s)
                self._tracks.append(track)
                seen[track] = observation
        return seen

    def _assign(self, observations: list[Observation], t_s: float) -> dict[Track, Observation]:
        """The best assignment by match score, the best match first; one face gets one track."""
        scores = np.array([[track.match_score(o, observations, t_s) for o in observations] for track in self._tracks])
        pairs = best_assignment(scores.reshape(len(self._tracks), len(observations)))
        seen: dict[Track, Observation] = {}
        for row, column in sorted(pairs, key=lambda pair: -scores[pair]):
            mesh = observations[column].mesh
            if all(face_distance(mesh, other.mesh) >= SAME_FACE_DISTANCE for other in seen.values()):
                seen[self._tracks[row]] = observations[column]
        return seen

    def _defer_new_track(
        self, observation: Observation, known: list[Observation], missing: list[Track], t_s: float
    ) -> bool:
        """Whether it is too early for a new person: another may half cover a known one, or a mesh lie on two faces."""
        nearest = min((face_distance(observation.mesh, other.mesh) for other in known), default=math.inf)
        if not missing and not observation.drift_suspected:
            return nearest < SAME_FACE_DISTANCE
        half_hidden = observation.mesh.logit < self.settings.min_presence * WHOLE_FACE_LOGIT
        too_soon = t_s - self._unmatched_s < OTHER_PERSON_S
        return observation.drift_suspected or half_hidden or nearest < OCCLUSION_DISTANCE or too_soon

    def _face(self, track: Track, observation: Observation, observations: list[Observation], frame: Frame) -> Face:
        mesh, shape = observation.mesh, frame.image.shape
        presence, was_analysed = track.presence(mesh), track.in_plain_view
        track.quality = quality = observation.quality or assess(
            mesh, observation.thumb, presence, shape, self.settings, was_analysed=was_analysed
        )
        track.learn(observation, observations, frame.t_s, in_plain_view=not quality.reason)
        return Face(track.id, mesh.landmarks, quality)


def best_assignment(scores: np.ndarray) -> list[tuple[int, int]]:
    """Assign rows to columns so that the sum of scores is largest; pairs of 0 or less are forbidden.

    Args:
        scores: (rows, columns) float.

    Returns:
        (row, column) pairs; every row and column is used at most once.
    """
    if min(scores.shape) <= 1:  # one face: no need to load SciPy
        return [divmod(int(scores.argmax()), scores.shape[1])] if scores.size and scores.max() > 0 else []
    from scipy.optimize import linear_sum_assignment

    pairs = zip(*linear_sum_assignment(scores.clip(min=0), maximize=True), strict=True)
    return [(int(row), int(column)) for row, column in pairs if scores[row, column] > 0]


def _source_tracks(observations: list[Observation]) -> list[Track]:
    return [track for observation in observations for track in observation.source_tracks]


def _is_on_face(detection: Detection, mesh: Mesh) -> bool:
    """Whether the detector sees the face that the mesh is on already, by both eyes and the nose."""
    x_y = mesh.landmarks[:, :2]
    eyes = (x_y[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]] + x_y[[RIGHT_EYE_INNER, LEFT_EYE_INNER]]) / 2
    apart_px = detection.keypoints[:3] - np.vstack([eyes, x_y[NOSE_TIP]])
    return float(np.linalg.norm(apart_px.mean(axis=0))) < SAME_FACE_DISTANCE * face_size(mesh.landmarks)
