"""One person as the tracker knows them: position, motion, and usual appearance."""

import math
from dataclasses import dataclass

import numpy as np

from merau.engine.face_mesh import Mesh
from merau.stream.faces.appearance import (
    CERTAIN_DISTANCE,
    OTHER_PERSON_DISTANCE,
    SAME_PERSON_DISTANCE,
    Appearance,
    describe,
)
from merau.stream.faces.carry import MeshCarrier
from merau.stream.faces.quality import Quality, face_size, thumbnail
from merau.stream.sources import Frame

# Distances between the centres of two faces, in outer-eye distances.
SAME_FACE_DISTANCE = 0.35  # nearer than this, two meshes lie on one face
OCCLUSION_DISTANCE = 1.5  # further apart than this, neither face can cover the other

WHOLE_FACE_LOGIT = 20.0  # the mesh's logit on a whole face is this or more
OTHER_PERSON_S = 0.5  # another person's appearance must last this long in plain view
TRACKING_BONUS = 0.4  # added to the match score if the track's own mesh led to the observation
DISTANCE_WEIGHT = 0.25  # weight in the match score of the distance from the expected position
COAST_S = 0.5  # time constant with which a lost face is expected to come to rest
VELOCITY_MEMORY_S = 0.2
APPEARANCE_MEMORY_S = 5.0
LOGIT_RISE_S, LOGIT_FALL_S = 1.0, 20.0
MEAN_WEIGHTS = np.full(468, 1 / 468, np.float32)


@dataclass(eq=False)
class Observation:
    """A face found in one frame.

    Attributes:
        mesh: The landmarks and the logit of a face.
        thumb: (64, 64, 3) uint8, the face upright and at one size.
        appearance: What it looks like.
        source_tracks: Tracks whose mesh led here: none for a new face, two after a collision.
        drift_suspected: The mesh may have drifted to another person's face.
        quality: Of the frame that mesh and appearance were carried on from; None where they are of this frame.
    """

    mesh: Mesh
    thumb: np.ndarray
    appearance: Appearance
    source_tracks: list["Track"]
    drift_suspected: bool = False
    quality: Quality | None = None


def observe(frame: Frame, mesh: Mesh, source_tracks: list["Track"], *, drift_suspected: bool = False) -> Observation:
    """Describe the face that `mesh` found in `frame`."""
    thumb = thumbnail(frame.image, mesh.landmarks)
    return Observation(mesh, thumb, describe(thumb, mesh.landmarks), source_tracks, drift_suspected)


class Track:
    """A person under one id.

    Attributes:
        in_view: The person was seen in the newest frame.
        in_plain_view: The face was good enough to be analysed there.
        quality: Quality of the face there; None before the first.
        carrier: Carries the newest mesh on.
        mean_appearance: What the person usually looks like.
        usual_logit: The mesh's usual logit on this person.
        seen_s: Time of the newest observation.
        last_match_s: Time at which the appearance last fitted, or was not in plain view.
        last_certain_s: Time at which it was last certain who this is; `position` and `velocity` are of that time.
    """

    def __init__(self, id: int, observation: Observation, t_s: float):
        self.id = id
        self.in_view = True
        self.in_plain_view = False
        self.quality: Quality | None = None
        self.carrier = MeshCarrier(observation.mesh, observation.thumb, t_s)
        self.landmarks = observation.mesh.landmarks
        self.mean_appearance = self.last_appearance = observation.appearance
        self.usual_logit = observation.mesh.logit
        self.start_s = self.seen_s = self.last_match_s = self.last_certain_s = t_s
        self.position = face_centre(observation.mesh.landmarks)
        self.velocity = np.zeros(2)  # frame px / s

    def expected_position(self, t_s: float) -> np.ndarray:
        """(2,) frame px, where the face is by now if it moved on and came to rest."""
        return self.position + self.velocity * COAST_S * (1 - math.exp((self.last_certain_s - t_s) / COAST_S))

    def carry(self, frame: Frame, start: np.ndarray) -> Observation | None:
        """Observe the face without the mesh net, from `start` (468, 3) frame px; None where that needs the net."""
        carried = self.carrier.carry(frame.image, start, frame.t_s) if self.in_plain_view else None
        return Observation(*carried, self.last_appearance, [self], quality=self.quality) if carried else None

    def landmarks_at(self, position: np.ndarray) -> np.ndarray:
        """(468, 3) frame px, the last landmarks moved to a position."""
        moved = self.landmarks.copy()
        moved[:, :2] += position - face_centre(moved)
        return moved

    def presence(self, mesh: Mesh) -> float:
        """Presence as in Quality: the mesh's logit over this person's usual one."""
        return min(max(mesh.logit / max(self.usual_logit, WHOLE_FACE_LOGIT), 0.0), 1.0)

    def match_score(self, observation: Observation, others: list[Observation], t_s: float) -> float:
        """How well an observation fits this person.

        Returns:
            0 or less if it cannot be this person; up to 1 by appearance, up to 1.4 if this track's mesh led to it.
        """
        similarity = 1 - self.mean_appearance.distance(observation.appearance) / SAME_PERSON_DISTANCE
        if self not in observation.source_tracks:
            reach_px = face_size(self.landmarks) * (0.5 + 4 * (t_s - self.last_certain_s))
            off_px = np.linalg.norm(face_centre(observation.mesh.landmarks) - self.expected_position(t_s))
            return similarity - DISTANCE_WEIGHT * float(off_px) / reach_px
        if observation.drift_suspected:
            return similarity
        if is_near_another_face(observation, others):
            return similarity + TRACKING_BONUS
        return 0.0 if self._is_other_person(observation, t_s) else max(similarity + TRACKING_BONUS, 0.01)

    def _is_other_person(self, observation: Observation, t_s: float) -> bool:
        """Whether somebody else has taken this place: for some time, or in plain view from one frame to the next."""
        if self.mean_appearance.distance(observation.appearance) < OTHER_PERSON_DISTANCE:
            return False
        changed = self.last_appearance.distance(observation.appearance) > OTHER_PERSON_DISTANCE
        cut = observation.mesh.logit > WHOLE_FACE_LOGIT and changed
        return cut or t_s - self.last_match_s > OTHER_PERSON_S

    def learn(self, observation: Observation, others: list[Observation], t_s: float, *, in_plain_view: bool) -> None:
        """Update the position; also the appearance, unless hidden, half covered or somebody else's."""
        since_s = t_s - self.seen_s
        distance = self.mean_appearance.distance(observation.appearance)
        alone = not is_near_another_face(observation, others)
        if distance < OTHER_PERSON_DISTANCE or not in_plain_view:
            self.last_match_s = t_s
        if distance < OTHER_PERSON_DISTANCE and in_plain_view and alone:
            weight = ema_weight(since_s, min(t_s - self.start_s, APPEARANCE_MEMORY_S))
            self.mean_appearance = self.mean_appearance.ema_update(observation.appearance, weight)
        if in_plain_view:
            rise = observation.mesh.logit - self.usual_logit
            self.usual_logit += rise * ema_weight(since_s, LOGIT_RISE_S if rise > 0 else LOGIT_FALL_S)
        if distance < SAME_PERSON_DISTANCE and alone:
            self._update_position(face_centre(observation.mesh.landmarks), t_s)
        self.landmarks, self.last_appearance, self.seen_s = observation.mesh.landmarks, observation.appearance, t_s
        self.in_plain_view = in_plain_view
        if observation.quality is None:
            self.carrier = MeshCarrier(observation.mesh, observation.thumb, t_s)

    def _update_position(self, position: np.ndarray, t_s: float) -> None:
        since_s = t_s - self.last_certain_s
        if 0 < since_s < 2 * COAST_S:
            weight = ema_weight(since_s, VELOCITY_MEMORY_S)
            self.velocity = self.velocity + weight * ((position - self.position) / since_s - self.velocity)
        else:
            self.velocity = np.zeros(2)
        self.position, self.last_certain_s = position, t_s

    def is_ambiguous(self, observation: Observation) -> bool:
        """Whether the appearance leaves it open that this is the person."""
        return self.mean_appearance.distance(observation.appearance) > CERTAIN_DISTANCE


def face_centre(landmarks: np.ndarray) -> np.ndarray:
    """(2,) frame px, mean of the landmarks; several times faster than `.mean`."""
    centre: np.ndarray = MEAN_WEIGHTS @ landmarks
    return centre[:2]


def face_distance(one: Mesh, other: Mesh) -> float:
    """Distance between the centres of two faces, in outer-eye distances of the larger one."""
    distance_px = np.linalg.norm(face_centre(one.landmarks) - face_centre(other.landmarks))
    return float(distance_px) / max(face_size(one.landmarks), face_size(other.landmarks))


def is_near_another_face(observation: Observation, others: list[Observation]) -> bool:
    """Whether another face is so near that one may cover the other."""
    return any(
        other is not observation
        and SAME_FACE_DISTANCE <= face_distance(other.mesh, observation.mesh) < OCCLUSION_DISTANCE
        for other in others
    )


def ema_weight(elapsed_s: float, memory_s: float) -> float:
    """Weight of the newest value in a moving average with a time constant, at any frame rate."""
    return 1 - math.exp(-elapsed_s / memory_s) if memory_s > 0 else 1.0
