"""What a few-shot head would change in the stored events, before it is put to work."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merau.calib.probability import expected_calibration_error
from merau.engine.errors import Message
from merau.engine.few_shot import FewShotHead, Sample, label_key
from merau.engine.recognizer import Recognizer
from merau.stream.events import Event
from merau.stream.store import read_events


@dataclass(frozen=True)
class Preview:
    """What a head would change.

    Attributes:
        events: Stored events that the head can classify.
        changed: Those whose class, or whose being uncertain, would change.
        right: Changed events that would have the class that a coder gave them.
        wrong: Changed events that would have another class than a coder gave them.
        ece: Expected calibration error on samples left out of the fit; None where there are none.
        left_out: How many these samples are.
    """

    events: int
    changed: int
    right: int
    wrong: int
    ece: float | None
    left_out: int

    @classmethod
    def of(cls, head: FewShotHead, recognizer: Recognizer, stores: list[Path]) -> "Preview":
        """Classify the stored events by the head; nothing is stored.

        Args:
            head: The head.
            recognizer: Has the head's bundle; the head that it uses does not matter.
            stores: Where the events are.

        Raises:
            UserError: A store cannot be read.
        """
        events = changed = right = wrong = 0
        for event in (event for store in stores for event in read_events(store)):
            if event.embedding is None or event.bundle_sha256 != head.bundle_sha256:
                continue
            events += 1
            label, is_uncertain = _classify(event, head, recognizer)
            if (label, is_uncertain) == (event.label, event.uncertain):
                continue
            changed += 1
            given = next((coding.label for coding in reversed(event.codings) if coding.label), None)
            if given and not is_uncertain:
                is_right = label_key(given) == label_key(label)
                right, wrong = right + is_right, wrong + (not is_right)
        probabilities, labels = head.left_out
        ece = expected_calibration_error(probabilities, labels) if len(labels) else None
        return cls(events, changed, right, wrong, ece, len(labels))

    @property
    def message(self) -> Message:
        """The preview in words."""
        changes = Message(
            "{changed} of {events} events change: {right} right by your labels, {wrong} wrong.",
            {"changed": self.changed, "events": self.events, "right": self.right, "wrong": self.wrong},
        )
        if self.ece is None:
            calibration = Message("The calibration is not known: label at least two events of each class.")
        else:
            calibration = Message(
                "Calibration error (ECE): {ece}, by {count} samples left out in turn.",
                {"ece": f"{self.ece:.2f}", "count": self.left_out},
            )
        return Message("{changes} {calibration}", {"changes": changes, "calibration": calibration})


def _classify(event: Event, head: FewShotHead, recognizer: Recognizer) -> tuple[str, bool]:
    """Return the class that the head gives an event, and whether it is uncertain."""
    embedding = np.frombuffer(event.embedding or b"", np.float32)
    prior = recognizer.classify(embedding, event.aus).prior
    probabilities = head.probabilities(Sample("", embedding, prior, event.aus))
    label = max(probabilities, key=probabilities.__getitem__)
    return label, probabilities[label] < recognizer.threshold
