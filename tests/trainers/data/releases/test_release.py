"""Each loader on a made-up release: what it finds, corrects and leaves out."""

from datetime import date, time

import pytest

from merau.engine.errors import UserError
from merau.trainers.data.prepare import RELEASES, load
from merau.trainers.data.releases.release import Corrections
from tests.trainers.data.releases.layouts import (
    LAYOUTS,
    MAKE,
    casme,
    casme2,
    casme_cubed,
    fourdme,
    frames,
    one,
    samm_lv,
    sheets,
    smic,
)


@pytest.mark.parametrize("name", RELEASES)
def test_load_finds_the_clip(name, tmp_path):
    make, subject, clip, count, apex, aus, emotion, label = LAYOUTS[name]
    make(tmp_path)
    release = load(name, tmp_path, MAKE)
    sample = release.samples[0]
    assert (sample.dataset, sample.subject, sample.name) == (name, subject, clip)
    assert (len(sample.frames), sample.apex) == (count, apex)
    assert (sample.aus, sample.emotion, sample.label) == (aus, emotion, label)
    assert all(path.is_file() for path in sample.frames)


@pytest.mark.parametrize("name", RELEASES)
def test_load_wrong_folder_is_explained(name, tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"(holds no|no folder)"):
            load(name, folder, MAKE)


def test_load_casme_tells_subjects_apart(tmp_path):
    casme(tmp_path)
    assert "sub01" in str(one(load("casme", tmp_path, MAKE)).frames[0])


def test_load_smic_padded_subject_is_same_clip(tmp_path):
    root = tmp_path / "SMIC-all"  # in the name of the folder itself, "SMIC-" does not stand for SMIC-E's long clips
    smic("HS")(root)
    frames(root / "SMIC_all_cropped/HS/s3/micro/positive/s03_po_05", range(17581039, 17581059), "reg_image{}.bmp")
    assert one(load("smic-hs", root, MAKE)).subject == "s03"


def test_load_number_of_release_is_no_subject(tmp_path):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    sheets(tmp_path / "CASME2-coding.xlsx", Sheet1=[head, [2, "EP01", 1, 2, 3, "4", "disgust"]])
    for subject in ("sub01", "sub02"):
        frames(tmp_path / "CASME2-RAW" / subject / "EP01", range(1, 4), "img{}.jpg")
    assert "sub02" in str(one(load("casme2", tmp_path, MAKE)).frames[0])


def test_load_skipped_clips_have_reasons(tmp_path):
    casme_cubed(tmp_path)
    release = load("casme^3", tmp_path, MAKE)
    assert release.skipped == [("1/a_2", "onset and apex are the same frame, 200")]
    samm_lv(tmp_path / "lv")
    release = load("samm-lv", tmp_path / "lv", MAKE)
    assert [name for name, _ in release.skipped] == ["006/006_1_3"]  # its frames end earlier
    assert any("no apex annotated" in note for note in release.notes)


def test_load_corrections_are_noted_and_optional(tmp_path):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    rows = [[1 + i % 26, f"EP{i:02d}", 5, "/" if i == 29 else 8, 12, "4", "disgust"] for i in range(255)]
    sheets(tmp_path / "CASME2-coding.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "sub04/EP29", range(270, 300), "img{}.jpg")
    made = load("casme2", tmp_path, MAKE)
    assert any("Correction 29:apex: / -> 279" in note for note in made.notes)
    assert any("Correction 60:offset: 12 -> 91" in note for note in made.notes)
    (kept,) = (note for note in made.notes if note.startswith("Corrections that this sheet does not need"))
    assert kept.count(":apex (8)") == 20  # as the sheet of 2019, which has these apexes
    reasons = dict(made.skipped)
    assert len(reasons) == 255
    assert reasons["01/EP00"] == "its frames are missing"
    assert "279" in reasons["04/EP29"]  # 5, 279, 12: the correction was made
    without = load("casme2", tmp_path, Corrections(without=frozenset({"29:apex"})))
    assert [note[:20] for note in without.notes if note.startswith("Correction ")] == ["Correction 60:offset"]
    assert not [n for n in load("casme2", tmp_path, Corrections(apply=False)).notes if n.startswith("Correction")]


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


@pytest.mark.parametrize("name", RELEASES)
def test_load_passes_over_copies_of_macos(name, tmp_path):
    """As macOS unpacks and copies: every file has a twin `._NAME`, and __MACOSX holds them once more."""
    make, *_ = LAYOUTS[name]
    make(tmp_path)
    plain = load(name, tmp_path, MAKE)
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        for twin in (path.with_name(f"._{path.name}"), tmp_path / "__MACOSX" / path.relative_to(tmp_path)):
            twin.parent.mkdir(parents=True, exist_ok=True)
            twin.write_bytes(b"\0\5\x16\7")
    assert load(name, tmp_path, MAKE) == plain


def test_load_casme_cubed_says_how_long_micros_count(tmp_path):
    casme_cubed(tmp_path)
    head = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    rows = [["spNO.1", "a", 170, 173, end, "4", "I", "disgust"] for end in (185, 186, 200)]  # .5, .53 and 1 s
    sheets(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", label=[head, *rows])
    release = load("casme^3", tmp_path, MAKE)
    assert [sample.kind for sample in release.samples] == ["micro"] * 3
    assert [sample.duration_s for sample in release.samples] == pytest.approx([0.5, 0.5333, 1], abs=1e-3)
    treated = "they stay micro-expressions, as coded, and are measured from onset to apex"
    assert f"2 of 3 micro-expressions last longer than 0.5 s: {treated}." in release.notes
    short = load("casme^3", tmp_path, Corrections(readings=frozenset({"half-second"})))
    assert [sample.name for sample in short.samples] == ["a"]
    assert [name for name, _ in short.skipped] == ["1/a_2", "1/a_3"]


def test_load_samm_notes_undecided_units(tmp_path):
    head = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Action Units", "Estimated Emotion"]
    rows = [[6, f"006_{i}", 1, 2, 3, "R12 or R14" if i in (15, 64) else "4", "Other"] for i in range(159)]
    sheets(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", MICRO_ONLY=[["preamble"]] * 13 + [head, *rows])
    frames(tmp_path / "006/006_15", (1, 2, 3), "006_{}.jpg")
    left = load("samm", tmp_path, MAKE)
    assert one(left).aus == "R12 or R14"
    assert any("count neither as coded nor as absent, in 2" in n for n in left.notes)


def test_load_mmew_reading_of_others(tmp_path):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    rows = [[1, f"S01-07-{i:03d}", 1, 9, 9, "17", "others"] for i in range(3)]
    sheets(tmp_path / "MMEW_Micro_Exp.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "others/S01-07-001", range(1, 10), "{}.jpg")
    sample = one(load("mmew", tmp_path, MAKE))
    assert (sample.emotion, sample.label) == ("others", None)
    read = load("mmew", tmp_path, Corrections(readings=frozenset({"others-as-repression"})))
    assert one(read).label == "negative"
    assert any("to 3 clips" in note for note in read.notes)


def test_load_4dme_exchanges_aus_of_two_rows(tmp_path):
    head = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"]
    rows = [["s01", f"clip_{i}", "Positive", 0, 7, 12, f"AU{1 + i % 2}"] for i in range(150)]
    sheets(tmp_path / "4DME_Labelling_Micro_release v1.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "gray_micro/s01/clip_144", range(15), "{}.jpg")
    assert one(load("4dme", tmp_path, MAKE)).aus == "AU2"
    assert one(load("4dme", tmp_path, Corrections(without=frozenset({"swapped-aus"})))).aus == "AU1"


def test_load_4dme_tentative_aus_uncorrected(tmp_path):
    fourdme(tmp_path)
    assert one(load("4dme", tmp_path, Corrections(apply=False))).aus == "AU12+AU4(k)"
