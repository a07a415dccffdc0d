"""One person as the tracker knows them: where, how moving, what they usually look like."""

import math
from dataclasses import dataclass

import numpy as np

from merau.engine.face_mesh import Mesh
from merau.stream.faces.appearance import CERTAIN_LOOK, SAME_LOOK, STRANGE_LOOK, Look, look
from merau.stream.faces.quality import face_size, thumbnail
from merau.stream.sources import Frame

ONE_PLACE = 0.35  # two faces whose centres are nearer than this, in outer-eye distances, are one
APART = 1.5  # further apart than this, neither covers the other
USUAL_LOGIT = 20.0  # the mesh's logit on a whole face is this or more
STRANGE_S = 0.5  # a stranger's look must last this long in plain view
STAY = 0.4  # what it is worth, against looks, that a mesh has followed its face here
PLACE = 0.25  # what a distance from where the face was expected is worth
COAST_S = 0.5  # a lost face is expected to move on and come to rest with this time constant
VELOCITY_MEMORY_S = 0.2
LOOK_MEMORY_S = 5.0
EVENLY = np.full(468, 1 / 468, np.float32)
LOGIT_RISE_S, LOGIT_FALL_S = 1.0, 20.0


@dataclass(eq=False)
class Observation:
    """A face found in this frame, and the tracks whose mesh led there: none for a new one, two after a collision.

    thumb: (64, 64, 3) uint8. doubtful: the mesh may be drawn to another face.
    """

    mesh: Mesh
    thumb: np.ndarray
    look: Look
    claims: list["Track"]
    doubtful: bool = False


def observe(frame: Frame, mesh: Mesh, claims: list["Track"], *, doubtful: bool = False) -> Observation:
    thumb = thumbnail(frame.image, mesh.landmarks)
    return Observation(mesh, thumb, look(thumb, mesh.landmarks), claims, doubtful)


class Track:
    """A person under one id. place and velocity are as of sure_s, when look and place last left no doubt who it is."""

    def __init__(self, id: int, observation: Observation, t_s: float):
        self.id = id
        self.in_view = True
        self.in_plain_view = False  # and good enough to analyse
        self.landmarks = observation.mesh.landmarks
        self.usual_look = self.last_look = observation.look
        self.usual_logit = observation.mesh.logit
        self.born_s = self.seen_s = self.familiar_s = self.sure_s = t_s
        self.place = centre(observation.mesh.landmarks)
        self.velocity = np.zeros(2)  # frame px / s

    def expected(self, t_s: float) -> np.ndarray:
        """(2,) frame px, where the face is by now if it moved on and came to rest."""
        return self.place + self.velocity * COAST_S * (1 - math.exp((self.sure_s - t_s) / COAST_S))

    def landmarks_at(self, place: np.ndarray) -> np.ndarray:
        """(468, 3) frame px, the last landmarks moved to a place."""
        moved = self.landmarks.copy()
        moved[:, :2] += place - centre(moved)
        return moved

    def presence(self, mesh: Mesh) -> float:
        """As in Quality: what this mesh's logit is of the person's usual one."""
        return min(max(mesh.logit / max(self.usual_logit, USUAL_LOGIT), 0.0), 1.0)

    def worth(self, observation: Observation, others: list[Observation], t_s: float) -> float:
        """How well an observation fits this person: 0 or less not at all, up to 1, or 1.4 where their own mesh led."""
        alike = 1 - self.usual_look.distance(observation.look) / SAME_LOOK
        if self not in observation.claims:
            reach_px = face_size(self.landmarks) * (0.5 + 4 * (t_s - self.sure_s))
            astray_px = np.linalg.norm(centre(observation.mesh.landmarks) - self.expected(t_s))
            return alike - PLACE * float(astray_px) / reach_px
        if observation.doubtful:
            return alike
        if crowded(observation, others):
            return alike + STAY
        return 0.0 if self._stranger(observation, t_s) else max(alike + STAY, 0.01)

    def _stranger(self, observation: Observation, t_s: float) -> bool:
        """Has somebody else taken this place: for a while already, or in plain view from one frame to the next?"""
        if self.usual_look.distance(observation.look) < STRANGE_LOOK:
            return False
        cut = observation.mesh.logit > USUAL_LOGIT and self.last_look.distance(observation.look) > STRANGE_LOOK
        return cut or t_s - self.familiar_s > STRANGE_S

    def learn(self, observation: Observation, others: list[Observation], t_s: float, *, in_plain_view: bool) -> None:
        """Takes in where the person is; and what they look like, unless hidden, half covered or somebody else."""
        since_s = t_s - self.seen_s
        distance = self.usual_look.distance(observation.look)
        alone = not crowded(observation, others)
        if distance < STRANGE_LOOK or not in_plain_view:
            self.familiar_s = t_s
        if distance < STRANGE_LOOK and in_plain_view and alone:
            share = decay(since_s, min(t_s - self.born_s, LOOK_MEMORY_S))
            self.usual_look = self.usual_look.drifted(observation.look, share)
        if in_plain_view:
            rise = observation.mesh.logit - self.usual_logit
            self.usual_logit += rise * decay(since_s, LOGIT_RISE_S if rise > 0 else LOGIT_FALL_S)
        if distance < SAME_LOOK and alone:
            self._locate(centre(observation.mesh.landmarks), t_s)
        self.landmarks, self.last_look, self.seen_s = observation.mesh.landmarks, observation.look, t_s
        self.in_plain_view = in_plain_view

    def _locate(self, place: np.ndarray, t_s: float) -> None:
        since_s = t_s - self.sure_s
        if 0 < since_s < 2 * COAST_S:
            share = decay(since_s, VELOCITY_MEMORY_S)
            self.velocity = self.velocity + share * ((place - self.place) / since_s - self.velocity)
        else:
            self.velocity = np.zeros(2)
        self.place, self.sure_s = place, t_s

    def doubts(self, observation: Observation) -> bool:
        """Is the look of what this track's mesh is on not certainly this person's?"""
        return self.usual_look.distance(observation.look) > CERTAIN_LOOK


def centre(landmarks: np.ndarray) -> np.ndarray:
    """(2,) frame px: the mean, several times faster than .mean."""
    return (EVENLY @ landmarks)[:2]


def gap(one: Mesh, other: Mesh) -> float:
    """Distance of two faces' centres, in outer-eye distances of the larger one."""
    distance_px = np.linalg.norm(centre(one.landmarks) - centre(other.landmarks))
    return float(distance_px) / max(face_size(one.landmarks), face_size(other.landmarks))


def crowded(observation: Observation, others: list[Observation]) -> bool:
    """Is another face so near that one may cover the other?"""
    return any(other is not observation and ONE_PLACE <= gap(other.mesh, observation.mesh) < APART for other in others)


def decay(elapsed_s: float, memory_s: float) -> float:
    """The share of the newest value in a running mean with this time constant, whatever the frame rate."""
    return 1 - math.exp(-elapsed_s / memory_s) if memory_s > 0 else 1.0
