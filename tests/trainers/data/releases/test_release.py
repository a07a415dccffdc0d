"""What holds for the loader of every release: wrong folders, rows, subjects and copies."""

from datetime import date, time

import pytest

from merau.engine.errors import UserError
from merau.trainers.data.prepare import RELEASES, load
from tests.trainers.data.releases.layouts import LAYOUTS, MAKE, casme2, frames, one, sheets


@pytest.mark.parametrize("name", [name for name in RELEASES if name != "csv"])
def test_load_wrong_folder_is_explained(name, tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"(holds no|no folder)"):
            load(name, folder, MAKE)


def test_load_number_of_release_is_no_subject(tmp_path):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    sheets(tmp_path / "CASME2-coding.xlsx", Sheet1=[head, [2, "EP01", 1, 2, 3, "4", "disgust"]])
    for subject in ("sub01", "sub02"):
        frames(tmp_path / "CASME2-RAW" / subject / "EP01", range(1, 4), "img{}.jpg")
    assert "sub02" in str(one(load("casme2", tmp_path, MAKE)).frames[0])


def test_load_sheet_of_other_length_is_not_corrected(tmp_path):
    casme2(tmp_path)
    assert load("casme2", tmp_path, MAKE).notes == [
        "The sheet has 1 rows, the published one 255: no correction was applied."
    ]


CASME2_HEAD = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"OnsetFrame": "ca. 46*"}, "its onset is 'ca. 46*', which is no frame number"),
        ({"OnsetFrame": None}, "it has no onset"),
        ({"OffsetFrame": "57?"}, "its offset is '57?', which is no frame number"),
        ({"OffsetFrame": "=C2+10"}, "row 2 of the sheet holds an error, or a formula without a value, as its offset"),
        ({"Action Units": "=C2"}, "row 2 of the sheet holds an error, or a formula without a value, as its Action"),
        ({"Action Units": "#REF!"}, "row 2 of the sheet holds an error, or a formula without a value, as its Action"),
        ({"OffsetFrame": 0}, "onset 46, apex 49, offset 0 are not in this order"),
        ({"OffsetFrame": "1,234"}, "its offset is '1,234', which is no frame number"),
        ({"OffsetFrame": "inf"}, "its offset is 'inf', which is no frame number"),
        ({"OffsetFrame": date(1900, 2, 15)}, "row 2 of the sheet holds Excel's date 1900-02-15 as its offset"),
        ({"ApexFrame": "about 49"}, "its apex is 'about 49', which is no frame number"),
        ({"Action Units": date(2024, 4, 7)}, "row 2 of the sheet holds Excel's date 2024-04-07 as its Action Units"),
        ({"Action Units": time(4, 7)}, "row 2 of the sheet holds Excel's date 04:07:00 as its Action Units"),
        ({"Action Units": 45389}, "its Action Units are wrong: '45389' names the unit 45389, which FACS does not have"),
        ({"Action Units": 4.7}, "its Action Units are wrong: '4.7' is a date, a time or a number"),
        ({"Filename": date(2024, 1, 2)}, "row 2 of the sheet holds Excel's date 2024-01-02 as its name"),
        ({"Subject": None}, "row 2 of the sheet has no subject"),
    ],
)
def test_load_row_that_cannot_be_used_is_left_out_by_name(cells, reason, tmp_path):
    good = ["01", "EP1", 46, 49, 57, "4", "disgust"]
    row = [cells.get(name, cell) for name, cell in zip(CASME2_HEAD, good, strict=True)]
    sheets(
        tmp_path / "CASME2-coding.xlsx", Sheet1=[CASME2_HEAD, row, ["01", "EP2", "46,0", "49.0", 57, "4", "disgust"]]
    )
    for name in ("EP1", "EP2"):
        frames(tmp_path / "sub01" / name, range(46, 58), "img{}.jpg")
    release = load("casme2", tmp_path, MAKE)
    assert one(release).name == "EP2"
    assert len(one(release).frames) == 12
    ((who, why),) = release.skipped
    assert why.startswith(reason)
    assert "EP1" in who or "2024-01-02" in who


def test_load_spellings_of_a_subject_are_one_person(tmp_path):
    rows = [[who, f"EP{i}", 1, 2, 3, "4", "disgust"] for i, who in enumerate(("01", "sub01", "Sub1 ", 1, "1.0"))]
    sheets(tmp_path / "CASME2-coding.xlsx", Sheet1=[CASME2_HEAD, *rows])
    for i in range(5):
        frames(tmp_path / f"sub01/EP{i}", range(1, 4), "img{}.jpg")
    release = load("casme2", tmp_path, MAKE)
    assert [sample.subject for sample in release.samples] == ["01"] * 5
    assert "Subject 01 is one person, written 01, sub01, Sub1, 1, 1.0." in release.notes


@pytest.mark.parametrize("name", [name for name in RELEASES if name != "csv"])
def test_load_passes_over_copies_of_macos(name, tmp_path):
    """As macOS unpacks and copies: every file has a twin `._NAME`, and __MACOSX holds them once more."""
    LAYOUTS[name](tmp_path)
    plain = load(name, tmp_path, MAKE)
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        for twin in (path.with_name(f"._{path.name}"), tmp_path / "__MACOSX" / path.relative_to(tmp_path)):
            twin.parent.mkdir(parents=True, exist_ok=True)
            twin.write_bytes(b"\0\5\x16\7")
    assert load(name, tmp_path, MAKE) == plain
