"""ANIL: Aniruddh Raghu, Maithra Raghu, Samy Bengio and Oriol Vinyals, Rapid Learning or Feature Reuse?, ICLR 2020."""

from merau.trainers.baselines.meta.maml import Maml


class Anil(Maml):
    """MAML whose inner step changes the head alone."""

    def is_adapted(self, name: str) -> bool:
        """Return whether the parameter is the head's."""
        return name.startswith("head.")
