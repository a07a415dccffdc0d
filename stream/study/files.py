"""The files of a study: tables as CSV, XLSX and Parquet, and reports."""

import io
from collections.abc import Iterable, Mapping
from itertools import chain, count
from pathlib import Path

import pandas

from merau.engine.errors import Message
from merau.engine.files import atomic_write, make_folder
from merau.engine.text import plain
from merau.stream.csv_style import CsvStyle
from merau.stream.export import guard_formula
from merau.stream.export_record import ExportRecord, Exports


def table_contents(tables: Mapping[str, pandas.DataFrame], style: CsvStyle) -> dict[str, bytes]:
    """Return tables as the contents of files: a CSV each, one workbook, and the first one as Parquet, too.

    Args:
        tables: By name.
        style: Of the CSV files.
    """
    safe = {name: _safe(table) for name, table in tables.items()}
    first, *others = safe
    contents = {"csv": _csv(safe[first], style)} | {f"{name}.csv": _csv(safe[name], style) for name in others}
    return contents | {"xlsx": _workbook(safe), "parquet": safe[first].to_parquet(index=False)}


def write_files(
    folder: Path, name: str, contents: Mapping[str, bytes], *, overwrite: bool
) -> tuple[list[Path], list[Message]]:
    """Write files of one name into a folder.

    Files that were changed since they were written, and those of others, stay: the new ones get another name.

    Args:
        folder: Is made if missing.
        name: What the files are called, without suffix.
        contents: By suffix.
        overwrite: Replace files even if they were changed.

    Returns:
        The paths of the files, and notes on files that stay.

    Raises:
        UserError: The folder cannot be written.
    """
    make_folder(folder)
    record = ExportRecord(folder)
    name, notes = _choose_name(record, name, contents, overwrite)
    record.exports.setdefault(name, Exports(run="", content_sha256="", partial=False))
    paths = []
    try:
        for suffix, content in contents.items():
            path = record.path(name, suffix)
            with atomic_write(path) as file:
                file.write(content)
            record.add(name, suffix)
            paths.append(path)
    finally:
        record.save()
    return paths, notes


def _choose_name(
    record: ExportRecord, stem: str, suffixes: Iterable[str], overwrite: bool
) -> tuple[str, list[Message]]:
    changed: list[Path] = []
    for name in chain([stem], (f"{stem}-{number}" for number in count(2))):
        found = [] if overwrite else record.changed(name, suffixes)
        if not found:
            break
        changed += found
    if not changed:
        return name, []
    values: dict[str, object] = {"file": changed[0].name, "name": name}
    return name, [Message("{file} was changed or was there before: it stays. The new files are named {name}.", values)]


def _csv(table: pandas.DataFrame, style: CsvStyle) -> bytes:
    text: str = table.to_csv(index=False, sep=style.separator, decimal=style.decimal, lineterminator="\n")
    return text.encode(style.encoding)


def _workbook(tables: Mapping[str, pandas.DataFrame]) -> bytes:
    file = io.BytesIO()
    with pandas.ExcelWriter(file, engine="openpyxl") as writer:
        for name, table in tables.items():
            table.to_excel(writer, sheet_name=name, index=False, freeze_panes=(1, 0))
    return file.getvalue()


def _safe(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return the table with text that no spreadsheet takes for a formula, and no format for a command."""
    texts = table.select_dtypes(include=["object", "string"]).columns
    return table.assign(**{name: table[name].map(_safe_cell) for name in texts})


def _safe_cell(value: object) -> object:
    return guard_formula(plain(value)) if isinstance(value, str) else value
