"""How a CSV is written: for programs, or for a spreadsheet under the user's locale."""

import locale
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class CsvStyle:
    """How a CSV is written.

    Attributes:
        separator: Between cells.
        decimal: Decimal mark.
        encoding: "utf-8-sig" writes the mark by which Excel knows UTF-8.
        blank: What stands for a blank in the names of columns.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    blank: str = " "


def excel_style() -> CsvStyle:
    """Return the style that Excel reads under the locale of this user: semicolons where the decimal mark is a comma."""
    with _locale_of_user():
        decimal = str(locale.localeconv()["decimal_point"])
    return CsvStyle(";" if decimal == "," else ",", decimal, "utf-8-sig", "_")


@contextmanager
def _locale_of_user() -> Iterator[None]:
    before = locale.setlocale(locale.LC_NUMERIC)
    try:
        locale.setlocale(locale.LC_NUMERIC, "")
        yield
    except locale.Error:  # it is not installed
        yield
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)
