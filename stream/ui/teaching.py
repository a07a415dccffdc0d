"""Teaching in a workspace: labels, few-shot heads, and the reclassification of stored events."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from merau.engine import bundle as bundles
from merau.engine.bundle import Bundle
from merau.engine.errors import UserError
from merau.engine.few_shot import FewShotHead, Sample, fit_few_shot
from merau.engine.few_shot_file import bundle_of_head
from merau.engine.recognizer import Classification, Recognizer
from merau.stream.coding import check_coding
from merau.stream.events import Coding, Event
from merau.stream.guard import Guard
from merau.stream.store import Label, Store, read_events, read_labels, read_sessions
from merau.stream.teaching_preview import Preview
from merau.stream.ui.camera_worker import Camera

# Load the bundle at a path, or the default one of this server. Every camera gets a recognizer of its own, because a
# recognizer makes one prediction at a time.
Load = Callable[[Path | None], Recognizer]
MAX_KEPT = 5  # heads of a visitor who went
LOADED, TAUGHT = ".loaded", ".taught"  # suffixes of their files


@dataclass(frozen=True)
class Proposal:
    """A head that nobody has put to work yet, and what it would change."""

    head: FewShotHead
    preview: Preview


class Teaching:
    """The few-shot heads of a workspace, newest last, and what they are fitted to.

    The newest head classifies what the cameras see from the next frame on, and everything that is stored. The store
    keeps the original predictions, so that undoing a head restores them.

    Attributes:
        recognizer: Classifies stored events, with the head in use.
        heads: All heads that can be undone; the last one is in use.
        proposal: The head that was fitted last, until it is kept or discarded.
    """

    def __init__(self, store: Store, load: Load, cameras: dict[int, Camera], kept_in: Path | None = None) -> None:
        """Load a recognizer, with the heads of an earlier run where they are kept in a folder, as these will be."""
        self._store, self._load, self._cameras, self._kept_in = store, load, cameras, kept_in
        self._changing = threading.Lock()  # pages of one workspace may teach at the same time
        self.recognizer = load(None)
        self._default_bundle = self.recognizer.bundle
        self._first_head = self.recognizer.few_shot_head
        self.heads: list[FewShotHead] = [self._first_head] if self._first_head else []
        self.proposal: Proposal | None = None
        self._loaded_heads = list(self.heads)  # those that came from files
        store.replace_reclassifications([])  # heads of an earlier run of the server are gone, unless they were kept
        if kept_in:
            self._read_kept(kept_in)

    @property
    def head(self) -> FewShotHead | None:
        """The head in use; None where the bundle's own classes are used."""
        return self.heads[-1] if self.heads else None

    @property
    def bundle(self) -> Bundle:
        """The bundle in use: the default one, or the one that the head in use belongs to."""
        return self.recognizer.bundle

    def new_recognizer(self) -> Recognizer:
        """Load another recognizer with the bundle and the head in use, for a camera."""
        head = self.head
        is_default = head is None or head.bundle_sha256 == self._default_bundle.sha256
        recognizer = self._load(None if is_default or head is None else bundles.find_shipped(head.bundle_sha256))
        recognizer.use_head(head)
        return recognizer

    def code(self, coding: Coding, event: Event | None) -> None:
        """Store what a coder says of an event, None for a missed one. Raises UserError when it does not fit."""
        coding = check_coding(coding, event)
        classification = self._classify(event) if event else None
        self._store.put_coding(coding, event, classification.prior if classification else {})
        self._store.flush()

    def undo_coding(self, session: int, coder: str = "") -> None:
        """Take back the newest coding of a coder in a session."""
        self._store.undo_coding(session, coder)
        self._store.flush()

    def labels(self) -> list[Label]:
        """Read all labels of the workspace."""
        return read_labels(self._store.path)

    def samples(self) -> list[Sample]:
        """Collect the samples for the next head, each embedding once.

        They are the samples of the head that was loaded last, and the labelled events that the bundle's trunk has
        seen. Where both have an embedding, the label counts.
        """
        loaded = self._loaded_heads[-1].samples if self._loaded_heads else ()
        labelled = [
            Sample(label.label, np.frombuffer(label.embedding, np.float32), label.probabilities, label.aus)
            for label in self.labels()
            if label.embedding and label.is_sample(self.bundle)
        ]
        return list({sample.embedding.tobytes(): sample for sample in (*loaded, *labelled)}.values())

    def propose(self) -> Preview:
        """Fit a head to all samples and tell what it would change; `accept` puts it to work."""
        with self._changing:
            head = fit_few_shot(self.samples(), self.bundle)
            self.proposal = Proposal(head, Preview.of(head, self.recognizer, [self._store.path]))
            return self.proposal.preview

    def accept(self) -> FewShotHead:
        """Use the proposed head. Raises UserError where there is none."""
        with self._changing:
            proposal, self.proposal = self.proposal, None
            if proposal is None:
                raise UserError("There is nothing to keep: press Teach first.")
            return self._use(proposal.head)

    def discard(self) -> None:
        """Forget the proposed head."""
        self.proposal = None

    def load_head(self, path: Path) -> FewShotHead:
        """Use the head of a file, with the bundle it belongs to.

        Raises:
            UserError: The file is not a head, or its bundle is neither shipped nor the default one of this server.
        """
        head = self._read(path)
        with self._changing:
            self._loaded_heads.append(head)
            return self._use(head)

    def undo_head(self) -> None:
        """Go back to the head before, or to the bundle's own classes."""
        with self._changing:
            if not self.heads:
                raise UserError("There is no teaching to undo.")
            undone = self.heads.pop()
            if self._loaded_heads and undone is self._loaded_heads[-1]:
                self._loaded_heads.pop()
            self._apply_head()

    def keep(self, folder: Path) -> None:
        """Write the newest heads that were taught or loaded here to `folder`, for `restore`.

        Raises:
            UserError: They cannot be written.
        """
        with self._changing:
            self._keep(folder)

    def restore(self, folder: Path) -> None:
        """Use the heads that `keep` wrote, and delete their files. A file that cannot be read costs its head."""
        with self._changing:
            self._read_kept(folder)
            shutil.rmtree(folder, ignore_errors=True)

    def _keep(self, folder: Path) -> None:
        """Write the newest heads, then delete what was kept before: a process that is killed meanwhile loses none."""
        kept = [head for head in self.heads if head is not self._first_head][-MAX_KEPT:]
        files = set()
        for number, head in enumerate(kept):
            folder.mkdir(mode=0o700, exist_ok=True)
            is_loaded = any(head is loaded for loaded in self._loaded_heads)
            path = folder / f"{number}-{head.sha256[:16]}{LOADED if is_loaded else TAUGHT}"
            files.add(path)
            if not path.exists():
                head.save(path)
        for path in set(folder.glob("*")) - files:
            path.unlink()

    def _read_kept(self, folder: Path) -> None:
        guard = Guard("kept heads")
        for path in sorted(folder.glob("*")):
            with guard.item():
                self.heads.append(head := self._read(path))
                self._loaded_heads += [head] if path.suffix == LOADED else []
        if folder.exists():
            self._show_head()

    def clear(self) -> None:
        """Forget all heads."""
        with self._changing:
            self.heads.clear()
            self.proposal = None
            self._loaded_heads.clear()
            self._apply_head()

    def _read(self, path: Path) -> FewShotHead:
        """Read the head of a file; raises UserError as `load_head`."""
        sha256 = bundle_of_head(path)
        shipped = None if sha256 == self._default_bundle.sha256 else bundles.find_shipped(sha256)
        return FewShotHead.load(path, bundles.load(shipped) if shipped else self._default_bundle)

    def _use(self, head: FewShotHead) -> FewShotHead:
        self.proposal = None  # it was fitted beside another head
        self.heads.append(head)
        self._apply_head()
        return head

    def _apply_head(self) -> None:
        """Give the head in use to all cameras, reclassify the stored events, and keep the heads for a later run."""
        self._show_head()
        if self._kept_in:
            self._keep(self._kept_in)

    def _show_head(self) -> None:
        wanted_sha256 = self.head.bundle_sha256 if self.head else self._default_bundle.sha256
        cameras = [camera for camera in list(self._cameras.values()) if not (camera.setup and camera.setup.recognizer)]
        if wanted_sha256 == self.bundle.sha256:
            for recognizer in (self.recognizer, *(camera.context.recognizer for camera in cameras)):
                recognizer.use_head(self.head)
        else:
            self.recognizer = self.new_recognizer()
            for camera in cameras:
                camera.context = replace(camera.context, recognizer=self.new_recognizer())
        self._store.flush()
        self._store.replace_reclassifications(self._reclassified())
        self._store.flush()

    def _reclassified(self) -> Iterator[tuple[int, Event]]:
        """Yield the stored events that the bundle can classify, with their session."""
        for session in read_sessions(self._store.path):
            for event in read_events(self._store.path, session.id):
                if found := self._classify(event):
                    names = ("probabilities", "label", "uncertain", "head_sha256")
                    yield session.id, replace(event, **{name: getattr(found, name) for name in names})

    def _classify(self, event: Event) -> Classification | None:
        """Classify a stored event with the head in use; None where the bundle's trunk has not seen it."""
        if event.embedding is None or event.bundle_sha256 != self.bundle.sha256:
            return None
        return self.recognizer.classify(np.frombuffer(event.embedding, np.float32), event.aus, spotted=True)
