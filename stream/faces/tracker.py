"""Several people followed from frame to frame, each under an id of their own.

A mesh follows its face by itself: the next frame's crop comes from this frame's landmarks. Identity is decided where
that is not enough: when two meshes land on one face, when a face comes back, when somebody else sits in the same place.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from engine.mesh import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    NOSE_TIP,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
    Detection,
    FaceNets,
    Mesh,
)
from stream.faces.detectors import open_detector
from stream.faces.looks import Look, look
from stream.faces.quality import Quality, face_size, judge, thumbnail
from stream.faces.settings import FaceSettings
from stream.sources import Frame

ONE_PLACE = 0.35  # two faces nearer than this, in outer-eye distances, are one
CERTAIN_LOOK = 1.0  # looks up to this far apart leave no doubt
SAME_LOOK = 1.6  # looks up to this far apart can be one person's
STRANGE_LOOK = 2.2  # looks beyond this are not, when it lasts STRANGE_S in plain view
STRANGE_S = 0.5
STAY = 0.4  # what a mesh that has followed its face is worth against looks, as a share of SAME_LOOK
PLACE = 0.25  # what a face's distance from where it was expected is worth, as a share of SAME_LOOK
SEARCH_S = 5.0  # a lost face is looked for more often this long
APART = 1.5  # faces whose centres are this far apart, in outer-eye distances, do not cover each other
VELOCITY_MEMORY_S = 0.2  # time constant of a face's velocity
COAST_S = 0.5  # a lost face is expected to move on and come to rest with this time constant
LOOK_MEMORY_S = 5.0  # time constant of a person's usual look
USUAL_LOGIT = 20.0  # below this no face is taken for one in plain view


@dataclass(frozen=True)
class Face:
    """A face in one frame. landmarks: (468, 3) float32 frame px, z on the same scale."""

    track_id: int
    landmarks: np.ndarray
    quality: Quality


@dataclass
class _Track:
    """One person. place and velocity are as of sure_s, the last time that look and place left no doubt who it is."""

    id: int
    born_s: float
    seen_s: float
    familiar_s: float  # last time that the look was not a stranger's
    in_view: bool
    landmarks: np.ndarray  # (468, 3) frame px
    look: Look  # the usual one
    last_look: Look
    usual_logit: float
    sure_s: float
    place: np.ndarray  # (2,) frame px
    velocity: np.ndarray  # (2,) frame px / s

    def expected(self, t_s: float) -> np.ndarray:
        """(2,) frame px, where the face is by now if it moved on and came to rest."""
        return self.place + self.velocity * COAST_S * (1 - np.exp((self.sure_s - t_s) / COAST_S))

    def moved(self, t_s: float) -> np.ndarray:
        """(468, 3) frame px, the last landmarks moved on to this time."""
        moved = self.landmarks.copy()
        moved[:, :2] += self.expected(t_s) - self.expected(self.seen_s)
        return moved


@dataclass(eq=False)
class _Sighting:
    """A face found in this frame, and the tracks whose mesh led there: none for a new one, two after a collision."""

    mesh: Mesh
    thumb: np.ndarray
    look: Look
    claims: list[_Track]
    doubtful: bool = False


class FaceTracker:
    """Feed it frames in order of time; it gives the faces in each. What it does depends on pictures and times only."""

    def __init__(self, settings: FaceSettings | None = None, *, threads: int = 1):
        self.settings = settings or FaceSettings()
        self._nets = FaceNets("wide" if self.settings.detector == "wide" else "short", threads)
        self._detect = open_detector(self.settings.detector, self._nets)
        self._detected_s = -math.inf
        self._unknown_s = math.inf  # since when there has been somebody whom no track fits
        self._tracks: list[_Track] = []
        self._ids = itertools.count(1)

    def update(self, frame: Frame) -> list[Face]:
        """Faces in this frame by track id, those too poor to analyse included: their quality says the reason."""
        self._tracks = [track for track in self._tracks if frame.t_s - track.seen_s <= self.settings.forget_s]
        sightings = self._follow(frame)
        for sighting in sightings:
            sighting.doubtful = self._doubtful(sighting, sightings, frame.t_s)
        doubtful = [sighting for sighting in sightings if sighting.doubtful]
        if doubtful or self._detection_due(frame.t_s, sightings):
            sightings += self._find(frame, [sighting for sighting in sightings if not sighting.doubtful])
            sightings += self._look_again(frame, doubtful)
            self._detected_s = frame.t_s
        seen = self._identify(sightings, frame.t_s)
        for track in self._tracks:
            track.in_view = any(owner is track for owner, _ in seen)
        faces = [self._remember(track, sighting, sightings, frame) for track, sighting in seen]
        return sorted(faces, key=lambda face: face.track_id)

    def _follow(self, frame: Frame) -> list[_Sighting]:
        """Where the meshes of the faces in view have gone."""
        sightings: list[_Sighting] = []
        for track in self._tracks:
            if not track.in_view:
                continue
            mesh = self._nets.mesh(frame.image, track.moved(frame.t_s))
            if mesh.presence <= self.settings.presence_gate:
                continue
            twin = next((other for other in sightings if gap(other.mesh, mesh) < ONE_PLACE), None)
            if twin:
                twin.claims.append(track)
            else:
                sightings.append(_sighting(frame, mesh, [track]))
        return sightings

    def _look_again(self, frame: Frame, doubtful: list[_Sighting]) -> list[_Sighting]:
        """A mesh drawn astray goes further astray, from frame to frame: start it anew where the face should be."""
        again = []
        for track in [track for sighting in doubtful for track in sighting.claims]:
            moved = track.landmarks.copy()
            moved[:, :2] += track.expected(frame.t_s) - moved[:, :2].mean(axis=0)
            mesh = self._nets.mesh(frame.image, moved)
            if mesh.presence > self.settings.presence_gate:
                again.append(_sighting(frame, mesh, [track], doubtful=True))
        return again

    def _doubtful(self, sighting: _Sighting, sightings: list[_Sighting], t_s: float) -> bool:
        """Has a mesh been drawn to another face, or halfway there? Only where two people are, or were, close."""
        if any(track.look.distance(sighting.look) < CERTAIN_LOOK for track in sighting.claims):
            return len(sighting.claims) > 1
        here, reach_px = centre(sighting.mesh), 2 * face_size(sighting.mesh.landmarks)
        return crowded(sighting, sightings) or any(
            float(np.linalg.norm(track.expected(t_s) - here)) < reach_px
            for track in self._missing(t_s, followed(sightings))
        )

    def _missing(self, t_s: float, present: list[_Track]) -> list[_Track]:
        """Who was in view a moment ago and is not present."""
        ids = [track.id for track in present]
        return [track for track in self._tracks if t_s - track.seen_s <= SEARCH_S and track.id not in ids]

    def _detection_due(self, t_s: float, sightings: list[_Sighting]) -> bool:
        if not sightings:
            return True
        searching = self._missing(t_s, followed(sightings))
        every_s = self.settings.search_every_s if searching else self.settings.detect_every_s
        return t_s - self._detected_s >= every_s

    def _find(self, frame: Frame, known: list[_Sighting]) -> list[_Sighting]:
        """Faces that are not known yet. A detector's box is coarse, so the mesh looks twice."""
        found: list[_Sighting] = []
        for detection in self._detect(frame.image):
            if any(_on_face(detection, sighting.mesh) for sighting in known + found):
                continue
            mesh = self._nets.mesh(frame.image, detection)
            if mesh.presence > self.settings.presence_gate:
                mesh = self._nets.mesh(frame.image, mesh.landmarks)
            if mesh.presence > self.settings.presence_gate and all(
                gap(sighting.mesh, mesh) >= ONE_PLACE for sighting in known + found
            ):
                found.append(_sighting(frame, mesh, []))
        return found

    def _identify(self, sightings: list[_Sighting], t_s: float) -> list[tuple[_Track, _Sighting]]:
        """Who is who. Left out is a mesh astray, and who comes out from behind another until the look tells."""
        worth = np.array([[self._worth(track, s, sightings, t_s) for s in sightings] for track in self._tracks])
        pairs = best_pairs(worth.reshape(len(self._tracks), len(sightings)))
        seen: list[tuple[_Track, _Sighting]] = []
        for column, row in sorted(pairs.items(), key=lambda pair: -worth[pair[1], pair[0]]):
            if all(gap(sightings[column].mesh, other.mesh) >= ONE_PLACE for _, other in seen):
                seen.append((self._tracks[row], sightings[column]))
        known = [sighting for _, sighting in seen]
        unknown = [sighting for sighting in sightings if sighting not in known]
        if not unknown:
            self._unknown_s = math.inf
        self._unknown_s = min(self._unknown_s, t_s)
        missing = self._missing(t_s, [track for track, _ in seen])
        for sighting in unknown:
            if not self._wait(sighting, known, missing, t_s):
                seen.append((self._new_track(sighting, t_s), sighting))
        return seen

    def _wait(self, sighting: _Sighting, known: list[_Sighting], missing: list[_Track], t_s: float) -> bool:
        """Better not to call this a new person yet? It may be one whom another half covers, or a mesh on two faces."""
        nearest = min((gap(sighting.mesh, other.mesh) for other in known), default=math.inf)
        if not missing and not sighting.doubtful:
            return nearest < ONE_PLACE
        half_seen = sighting.mesh.logit < self.settings.min_presence * USUAL_LOGIT
        return sighting.doubtful or half_seen or nearest < APART or t_s - self._unknown_s < STRANGE_S

    def _worth(self, track: _Track, sighting: _Sighting, sightings: list[_Sighting], t_s: float) -> float:
        """How well this sighting fits this person; 0 or less for not at all."""
        alike = 1 - track.look.distance(sighting.look) / SAME_LOOK
        if track not in sighting.claims:
            reach_px = face_size(track.landmarks) * (0.5 + 4 * (t_s - track.sure_s))
            astray_px = float(np.linalg.norm(centre(sighting.mesh) - track.expected(t_s)))
            return alike - PLACE * astray_px / reach_px
        if sighting.doubtful:
            return alike
        if crowded(sighting, sightings):
            return alike + STAY
        strange = track.look.distance(sighting.look) > STRANGE_LOOK
        cut = track.last_look.distance(sighting.look) > STRANGE_LOOK and sighting.mesh.logit > USUAL_LOGIT
        return 0.0 if strange and (cut or t_s - track.familiar_s > STRANGE_S) else max(alike + STAY, 0.01)

    def _new_track(self, sighting: _Sighting, t_s: float) -> _Track:
        track = _Track(
            id=next(self._ids),
            born_s=t_s,
            seen_s=t_s,
            familiar_s=t_s,
            in_view=True,
            landmarks=sighting.mesh.landmarks,
            look=sighting.look,
            last_look=sighting.look,
            usual_logit=sighting.mesh.logit,
            sure_s=t_s,
            place=centre(sighting.mesh),
            velocity=np.zeros(2),
        )
        self._tracks.append(track)
        return track

    def _remember(self, track: _Track, sighting: _Sighting, all_seen: list[_Sighting], frame: Frame) -> Face:
        """Judges the face by what is usual for this person, and learns from it."""
        mesh, t_s = sighting.mesh, frame.t_s
        presence = min(mesh.logit / max(track.usual_logit, USUAL_LOGIT), 1.0)
        quality = judge(mesh, sighting.thumb, presence, frame.image.shape, self.settings)
        since_s = t_s - track.seen_s
        track.landmarks, track.last_look, track.seen_s = mesh.landmarks, sighting.look, t_s
        if presence >= self.settings.min_presence:
            memory_s = 1.0 if mesh.logit > track.usual_logit else 20.0
            track.usual_logit += decay(since_s, memory_s) * (mesh.logit - track.usual_logit)

        distance = track.look.distance(sighting.look)
        alone = not crowded(sighting, all_seen)
        if distance < STRANGE_LOOK or quality.reason:
            track.familiar_s = t_s
        if alone and not quality.reason and distance < STRANGE_LOOK:
            track.look = track.look.drifted(sighting.look, decay(since_s, min(t_s - track.born_s, LOOK_MEMORY_S)))
        if alone and distance < SAME_LOOK:
            unsure_s = t_s - track.sure_s
            if 0 < unsure_s < 2 * COAST_S:
                moved = (centre(mesh) - track.place) / unsure_s
                track.velocity = track.velocity + decay(unsure_s, VELOCITY_MEMORY_S) * (moved - track.velocity)
            else:
                track.velocity = np.zeros(2)
            track.sure_s, track.place = t_s, centre(mesh)
        return Face(track.id, mesh.landmarks, quality)


def _sighting(frame: Frame, mesh: Mesh, claims: list[_Track], *, doubtful: bool = False) -> _Sighting:
    thumb = thumbnail(frame.image, mesh.landmarks)
    return _Sighting(mesh, thumb, look(thumb, mesh.landmarks), claims, doubtful)


def followed(sightings: list[_Sighting]) -> list[_Track]:
    """The tracks whose meshes led to these sightings."""
    return [track for sighting in sightings for track in sighting.claims]


def centre(mesh: Mesh) -> np.ndarray:
    """(2,) frame px."""
    return mesh.landmarks[:, :2].mean(axis=0)


def distance_px(one: np.ndarray, other: np.ndarray) -> float:
    """Between the centres of two faces' landmarks, frame px."""
    return float(np.linalg.norm(one[:, :2].mean(axis=0) - other[:, :2].mean(axis=0)))


def gap(one: Mesh, other: Mesh) -> float:
    """Distance of two faces' centres over the larger one's size."""
    return distance_px(one.landmarks, other.landmarks) / max(face_size(one.landmarks), face_size(other.landmarks))


def crowded(sighting: _Sighting, others: list[_Sighting]) -> bool:
    """Is another face so near that one may cover the other?"""
    return any(ONE_PLACE <= gap(other.mesh, sighting.mesh) < APART for other in others)


def _on_face(detection: Detection, mesh: Mesh) -> bool:
    """Does the detector see the face that the mesh is already on? By both eyes and the nose."""
    x_y = mesh.landmarks[:, :2]
    eyes = (x_y[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER]] + x_y[[RIGHT_EYE_INNER, LEFT_EYE_INNER]]) / 2
    apart = detection.keypoints[:3] - np.vstack([eyes, x_y[NOSE_TIP]])
    return float(np.linalg.norm(apart.mean(axis=0))) < ONE_PLACE * face_size(mesh.landmarks)


def decay(elapsed_s: float, memory_s: float) -> float:
    """The share of the newest value in a running mean with this time constant, whatever the frame rate."""
    return 1 - math.exp(-elapsed_s / memory_s) if memory_s > 0 else 1.0


def best_pairs(worth: np.ndarray) -> dict[int, int]:
    """{column: row} of the pairs with the largest sum of worth, none of 0 or less, each row and column used once.

    By exchanges of two, the most gainful first, for as long as one gains: exact for two people, near it for a crowd.
    """
    rows, columns = worth.shape
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
    return {c: int(row_of[c]) for c in range(columns) if row_of[c] < rows and worth[row_of[c], c] > 0}
