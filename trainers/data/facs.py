"""Action Units as coders write them: "4+L10", "12 or 14", "AU4(k)"."""

import re

UNIT, UNDECIDED = re.compile(r"\d+"), re.compile(r"[/?]")
# The Facial Action Coding System of 2002: Action Units, Action Descriptors, movements of head and eyes, visibility and
# gross behaviour. 0 is a neutral face.
CODES = {0, 1, 2, *range(4, 47), *range(50, 67), *range(68, 75), *range(80, 86), 91, 92, 97, 98}
NUMBER_OR_TIME = re.compile(r"\d[.:]\d")  # a spreadsheet takes "4.7" for a number and "4:7" for a time
MONTH = re.compile(
    r"\d[\s.-]*(jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])"
    r"|(jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*[\s.-]*\d",
    re.IGNORECASE,
)


def find_error(codes: str) -> str:
    """Return why `codes` are no codes of FACS, as a spreadsheet's dates are not; "" where they are."""
    if MONTH.search(codes) or NUMBER_OR_TIME.search(codes):
        return f"{codes!r} is a date, a time or a number, as spreadsheets make of Action Units"
    unknown = [unit for unit in UNIT.findall(codes) if int(unit) not in CODES]
    return f"{codes!r} names the unit {unknown[0]}, which FACS does not have" if unknown else ""


def unit_numbers(codes: str) -> list[str]:
    """Return the coded units: "4+L10+AU12" gives ["4", "10", "12"].

    Sides and other letters are dropped, and units that the coders left open are left out.
    """
    return [unit for term in split_codes(codes) if not UNDECIDED.search(term) for unit in UNIT.findall(term)]


def undecided_units(codes: str) -> list[str]:
    """Return the units that the coders left open.

    "4+12 or 14" gives ["12", "14"], and so do "12/14" and "12?+14?".
    """
    sure = unit_numbers(codes)
    units = [unit for term in split_codes(codes) if UNDECIDED.search(term) for unit in UNIT.findall(term)]
    return [unit for unit in units if unit not in sure]


def split_codes(codes: str) -> list[str]:
    """Split codes into terms: "4 + 12 or 14" gives ["4", "12/14"]."""
    joined = re.sub(r"\s+(?=[?])", "", re.sub(r"\s*(?:/|(?<![a-z])or(?![a-z]))\s*", "/", codes.lower()))
    return re.split(r"[+,\uff0c;&\s]+", joined)
