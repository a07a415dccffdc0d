"""The folder that `merau analyse` and `merau demo` write their results to."""

import io
import itertools
from pathlib import Path
from typing import Any, Self

from merau.engine.bundle import Bundle
from merau.engine.errors import Message, UserError
from merau.engine.files import atomic_write, make_folder
from merau.stream.analysis import Analysis, RunKey
from merau.stream.export import FORMATS, write_events
from merau.stream.export_record import ExportRecord, Exports
from merau.stream.export_settings import ExportSettings
from merau.stream.guard import internal_error
from merau.stream.report import render_report
from merau.stream.store import Session, Store, read_sessions

SUFFIXES = (*FORMATS, "html")


class OutputFolder:
    """A store, and a folder for exports and reports.

    A run never replaces the files of another run, nor files that were changed since they were written: it writes its
    own under another name.

    Args:
        folder: Is made if missing; None writes neither exports nor reports.
        store: The SQLite file; None saves no events.
        keep_pictures: Whether the store keeps the events' images.
        overwrite: Replace changed files, too, and analyse again what was analysed.

    Attributes:
        failures: Why some of the last results were not written.
        notes: What was there before the last results: other runs over their recording, and files that must stay.

    Raises:
        UserError: The folder cannot be written.
    """

    def __init__(
        self, folder: Path | None, store: Path | None, *, keep_pictures: bool = False, overwrite: bool = False
    ) -> None:
        self._folder, self._overwrite = folder, overwrite
        if folder:
            make_folder(folder)
        self._store_path, self._keep_pictures = store, keep_pictures
        self._store: Store | None = None
        self.notes: list[Message] = []
        self.failures: list[UserError] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._store:
            self._store.close()

    @property
    def has_folder(self) -> bool:
        """Whether exports and reports are written."""
        return self._folder is not None

    @property
    def store_path(self) -> Path | None:
        """The SQLite file; None if no events are saved."""
        return self._store_path

    @property
    def store(self) -> Store | None:
        """The store; None if no events are saved. It is made when it is first needed, after a source was opened.

        Raises:
            UserError: The store cannot be written.
        """
        if self._store is None and self._store_path:
            self._store = Store(self._store_path, keep_pictures=self._keep_pictures)
        return self._store

    def find_session(self, key: RunKey) -> Session | None:
        """Return the session of an earlier whole run of this key; None if its results are to be made (again)."""
        if self._overwrite or not self.store:
            return None
        if self._folder and not ExportRecord(self._folder).find(key.digest, SUFFIXES):
            return None
        return next((s for s in read_sessions(self.store.path) if not s.partial and key.matches(s)), None)

    def report_of(self, key: RunKey) -> Path | None:
        """Return the report of an earlier whole run of this key; None if there is none."""
        name = ExportRecord(self._folder).find(key.digest, SUFFIXES) if self._folder else None
        return self._folder / f"{name}.html" if self._folder and name else None

    def write(
        self, analysis: Analysis, bundle: Bundle, *, name: str = "", truth: list[dict[str, Any]] | None = None
    ) -> list[Path]:
        """Write every export and the report. `check` tells which could not be written.

        Args:
            analysis: What was found.
            bundle: The recognizer's bundle.
            name: What the files are called, without suffix; may be below the folder: "P01/talk". By default the
                recording's own name.
            truth: Ground truth that the report shows beside the events.

        Returns:
            The paths of the files that were written; the report is the last.
        """
        self.failures = []
        self.notes = self._note_other_runs(analysis)
        if not self._folder:
            return []
        record = ExportRecord(self._folder)
        run = Exports(analysis.run, analysis.content_sha256, analysis.summary.partial)
        name = self._choose_name(name or Path(analysis.summary.source).stem, record, run)
        run.files |= record.exports[name].files if name in record.exports else {}
        run.partial = True  # until the last file is written
        record.exports[name] = run
        written = []
        try:
            for suffix in SUFFIXES:
                path = record.path(name, suffix)
                try:
                    make_folder(path.parent)
                    with atomic_write(path) as file:
                        file.write(_content(suffix, analysis, bundle, truth, self._folder))
                except Exception as error:  # whatever one format cannot hold must not cost the others
                    self.failures.append(error if isinstance(error, UserError) else internal_error(str(path), error))
                else:
                    record.add(name, suffix)
                    written.append(path)
            run.partial = analysis.summary.partial or bool(self.failures)
        finally:
            record.save()
        return written

    def check(self) -> None:
        """Raise UserError if some of the last results were not written."""
        if len(self.failures) > 1:
            raise UserError(
                "{reason} Files that are missing: {count}.",
                reason=self.failures[0].message,
                count=len(self.failures),
            )
        if self.failures:
            raise self.failures[0]

    def _note_other_runs(self, analysis: Analysis) -> list[Message]:
        """Name the sessions of the same recording that other settings or another bundle made."""
        if not (analysis.key and self._store_path):
            return []
        content = analysis.key.content_sha256
        sessions = [s for s in read_sessions(self._store_path) if s.content_sha256 == content]
        others = [str(s.id) for s in sessions if s.id != analysis.session and not analysis.key.matches(s)]
        if not others:
            return []
        values: dict[str, object] = {
            "name": analysis.summary.source,
            "others": ", ".join(others),
            "session": analysis.session,
        }
        template = "{name} was analysed before with other settings (session {others}). This run is session {session}."
        return [Message(template, values)]

    def _choose_name(self, stem: str, record: ExportRecord, run: Exports) -> str:
        """Return the stem, with a number if files of that name must stay; a note then tells why."""
        reasons: list[Message] = []
        for name in itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2))):
            reason = self._why_to_keep(name, record, run)
            if reason is None:
                break
            reasons.append(reason)
        if reasons:
            values: dict[str, object] = {"reason": reasons[0], "name": name}
            self.notes.append(Message("{reason} The new files are named {name}.", values))
        return name

    def _why_to_keep(self, name: str, record: ExportRecord, run: Exports) -> Message | None:
        """Say why the files of this name must not be replaced; None if they may."""
        earlier = record.exports.get(name)
        if earlier and earlier.content_sha256 != run.content_sha256:
            return Message("{name} was written for another recording of this name.", {"name": f"{name}.html"})
        if earlier and earlier.run != run.run:
            return Message("{name} was written for another run with other settings.", {"name": f"{name}.html"})
        if earlier and run.partial and not earlier.partial:
            return Message("{name} shows the whole recording.", {"name": f"{name}.html"})
        changed = [] if self._overwrite else record.changed(name, SUFFIXES)
        if changed and earlier:
            return Message("{name} was changed after it was written.", {"name": changed[0].name})
        if changed:
            return Message("{name} was there before.", {"name": changed[0].name})
        return None


def _content(
    suffix: str, analysis: Analysis, bundle: Bundle, truth: list[dict[str, Any]] | None, folder: Path
) -> bytes:
    """Return the content of an export or of the report."""
    if suffix not in FORMATS:
        return render_report(analysis.summary, elapsed_s=analysis.elapsed_s, bundle=bundle, truth=truth).encode()
    file = io.BytesIO()
    settings = ExportSettings(slowdown=analysis.summary.slowdown, folder=folder)
    write_events(suffix, analysis.events, file, settings)
    return file.getvalue()
