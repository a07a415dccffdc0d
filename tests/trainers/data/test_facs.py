"""Action Units as coders write them."""

import pytest

from merau.trainers.data import facs


@pytest.mark.parametrize(
    ("codes", "sure", "undecided"),
    [
        ("4+L10, AU12 + R14A", ["4", "10", "12", "14"], []),
        ("12 or 14", [], ["12", "14"]),
        ("7/4", [], ["7", "4"]),
        ("4+4/7+17 ?", ["4"], ["7", "17"]),
        ("?", [], []),
        ("4 (corrugator)+12or14", ["4"], ["12", "14"]),
    ],
)
def test_unit_numbers_leave_out_undecided_units(codes, sure, undecided):
    assert (facs.unit_numbers(codes), facs.undecided_units(codes)) == (sure, undecided)


@pytest.mark.parametrize(
    "codes", ["", "4+L10", "AU12+AU4(k)", "R12A or R14", "12?+M57", "4 (maybe)", "0", "4,5\uff0c7"]
)
def test_find_error_accepts_codes(codes):
    assert facs.find_error(codes) == ""


@pytest.mark.parametrize(
    "codes", ["2024-04-07", "7. Apr", "Apr-07", "07. M\u00e4rz", "4.7", "04:07:00", "45389", "4+47", "4+712", "3"]
)
def test_find_error_names_dates_and_unknown_units(codes):
    assert repr(codes) in facs.find_error(codes)
