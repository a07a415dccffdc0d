"""CSV files as spreadsheets save them: any of their separators, encodings and decimal marks."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from merau.engine.bounded import read_bounded
from merau.engine.errors import Message, UserError

SUFFIXES = (".csv", ".tsv", ".txt")  # Excel saves its "Unicode text" as .txt
MAX_BYTES = 32_000_000  # some hundred thousand rows
SEPARATORS = (",", ";", "\t")
DECIMAL = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
SEPARATOR_HINT = re.compile(r"sep=(.)(?:\r\n|\r|\n)", re.IGNORECASE)  # the first line of some files, meant for Excel
UTF_16 = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
ANSI = "cp1252"


@dataclass(frozen=True)
class CsvTable:
    """The rows of a CSV that are not blank.

    Attributes:
        path: The file.
        lines: Line number and cells of each row.
        notes: What was assumed about the file.
    """

    path: Path
    lines: list[tuple[int, list[str]]]
    notes: tuple[Message, ...]

    @property
    def header(self) -> list[str]:
        """The names of the first row in lower case."""
        return [name.strip().lower() for name in self.lines[0][1]] if self.lines else []

    def rows(self, required: Collection[str], *, verbatim: str = "") -> list[tuple[int, dict[str, str]]]:
        """Return line number and cells by name of each row below the header; a cell that the row lacks is "".

        Blanks around cells are removed, apart from those of the column `verbatim`.

        Raises:
            UserError: A name occurs twice; or a row ends before a `required` cell, or has more cells than names.
        """
        header = self.header
        twice = [name for name, count in Counter(header).items() if name and count > 1]
        if twice:
            raise UserError("The first line of {path} names {column} twice.", path=self.path, column=twice[0])
        least = max((header.index(name) + 1 for name in required), default=0)
        for line, cells in self.lines[1:]:
            if len(cells) < least or any(cell.strip() for cell in cells[len(header) :]):
                raise UserError(
                    "{path}, line {line} has {count} cells, its first line names {named}: text with the separator in "
                    "it, such as a decimal comma, needs quotes.",
                    path=self.path,
                    line=line,
                    count=len(cells),
                    named=len(header),
                )
        rows = [(line, dict(zip_longest(header, cells[: len(header)], fillvalue=""))) for line, cells in self.lines[1:]]
        return [(line, {k: v if k == verbatim else v.strip() for k, v in row.items()}) for line, row in rows]


def is_csv(path: Path) -> bool:
    """Return whether the file is a CSV by its name."""
    return path.suffix.lower() in SUFFIXES


def read_csv(path: Path) -> CsvTable:
    """Read a CSV in UTF-8, UTF-16 or Windows-1252, separated by commas, semicolons or tabs.

    Raises:
        UserError: It cannot be read.
    """
    try:
        data = read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise UserError("{path} cannot be read: {reason}.", path=path, reason=error.strerror or error) from error
    text, notes = _decode(path, data)
    hint = SEPARATOR_HINT.match(text)
    separator = hint[1] if hint else _find_separator(text)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    lines, line = list[tuple[int, list[str]]](), 1
    try:
        for cells in table:
            if any(cell.strip() for cell in cells) and not (hint and line == 1):
                lines.append((line, cells))
            line = table.line_num + 1
    except csv.Error as error:
        raise UserError(
            "{path} cannot be read as CSV: line {line}: {reason}.", path=path, line=line, reason=error
        ) from error
    return CsvTable(path, lines, notes)


def parse_decimal(text: str) -> float:
    """Return a number with a decimal point or a decimal comma.

    Raises:
        ValueError: It is something else, has separators of thousands, or is too large for a number.
    """
    value = float(text.replace(",", ".")) if DECIMAL.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _decode(path: Path, data: bytes) -> tuple[str, tuple[Message, ...]]:
    """Return the text, and what was assumed about its encoding."""
    encoding = UTF_16.get(data[:2]) or _utf_16_without_mark(data) or "utf-8-sig"
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode(ANSI)
    except UnicodeDecodeError as error:
        raise UserError("{path} is not a CSV in UTF-8: save it as CSV in UTF-8.", path=path) from error
    note = Message(
        "{path} is not in UTF-8: it is read as Windows-1252, the usual encoding of Western spreadsheets.",
        {"path": path},
    )
    return text, (note,)


def _utf_16_without_mark(data: bytes) -> str | None:
    """Return the byte order of text in which every other byte is mostly 0; None for any other text."""
    even, odd = data[0:1000:2], data[1:1000:2]
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) > len(zeros) / 2 and not others.count(0):
            return encoding
    return None


def _find_separator(text: str) -> str:
    """Return the separator that divides the first line with text into most cells."""
    first = next((line for line in io.StringIO(text, newline="") if line.strip(" \t\r\n;,")), "")
    return max(SEPARATORS, key=lambda separator: len(next(csv.reader([first], delimiter=separator), [])))
