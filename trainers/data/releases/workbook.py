"""What python-calamine does not tell about a workbook: cells that show an error, and formulas without a value."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring
from zipfile import BadZipFile, ZipFile

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
ADDRESS = re.compile(r"([A-Z]+)(\d+)")


def cells_without_value(path: Path, sheet: str) -> set[tuple[int, int]]:
    """Return row and column, from 0, of the cells of an .xlsx that have an error, or a formula without a value.

    calamine reads both as an empty cell. Workbooks of other formats have none.
    """
    try:
        with ZipFile(path) as parts:
            links = {link.get("Id"): link for link in fromstring(parts.read("xl/_rels/workbook.xml.rels"))}
            sheets = fromstring(parts.read("xl/workbook.xml")).iter(f"{MAIN}sheet")
            link = links[next(found.get(LINK) for found in sheets if found.get("name") == sheet)]
            cells = fromstring(parts.read(f"xl/{link.get('Target', '').removeprefix('/xl/')}")).iter(f"{MAIN}c")
            return {place(cell.get("r", "A1")) for cell in cells if is_without_value(cell)}
    except (BadZipFile, KeyError, ParseError, StopIteration):
        return set()


def is_without_value(cell: Element) -> bool:
    """Return whether the cell has an error, or a formula that no spreadsheet has computed yet."""
    kind = cell.get("t")
    uncomputed = cell.find(f"{MAIN}f") is not None and not cell.findtext(f"{MAIN}v")
    return kind == "e" or (uncomputed and kind != "str")  # a formula may well give an empty text


def place(address: str) -> tuple[int, int]:
    """Return row and column of "B3", from 0: (2, 1)."""
    letters, row = ADDRESS.findall(address)[0]
    column = 0
    for letter in letters:
        column = 26 * column + ord(letter) - ord("A") + 1
    return int(row) - 1, column - 1
