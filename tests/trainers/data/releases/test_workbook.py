"""Cells of a workbook that show an error or wait for a value."""

import pytest

from merau.trainers.data.releases import workbook
from tests.trainers.data.releases.layouts import sheets


def test_cells_without_value_are_errors_and_formulas(tmp_path):
    sheets(tmp_path / "s.xlsx", other=[["#REF!"]], Sheet1=[["head", 1, None], ["#REF!", "text", "=B1+1"]])
    assert workbook.cells_without_value(tmp_path / "s.xlsx", "Sheet1") == {(1, 0), (1, 2)}


def test_cells_without_value_other_format_has_none(tmp_path):
    (tmp_path / "s.xls").write_bytes(b"no zip")
    assert workbook.cells_without_value(tmp_path / "s.xls", "Sheet1") == set()
    sheets(tmp_path / "s.xlsx", Sheet1=[["=B1+1"]])
    assert workbook.cells_without_value(tmp_path / "s.xlsx", "Sheet2") == set()


@pytest.mark.parametrize(("address", "place"), [("B3", (2, 1)), ("Z1", (0, 25)), ("AA10", (9, 26))])
def test_place_of_address_counts_from_zero(address, place):
    assert workbook.place(address) == place
