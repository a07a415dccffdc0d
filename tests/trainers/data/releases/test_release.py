"""Each loader on a made-up release: what it finds, corrects and leaves out."""

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
    assert len(made.notes) == 22
    reasons = dict(made.skipped)
    assert len(reasons) == 255
    assert reasons["01/EP00"] == "its frames are missing"
    assert "279" in reasons["04/EP29"]  # 5, 279, 12: the correction was made
    without = load("casme2", tmp_path, Corrections(without=frozenset({"29:apex"})))
    assert len([note for note in without.notes if note.startswith("Correction")]) == 21
    assert not [n for n in load("casme2", tmp_path, Corrections(apply=False)).notes if n.startswith("Correction")]


def test_load_sheet_of_other_length_is_not_corrected(tmp_path):
    casme2(tmp_path)
    assert load("casme2", tmp_path, MAKE).notes == [
        "The sheet has 1 rows, the published one 255: no correction was applied."
    ]


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
    rows = [["s01", f"clip_{i}", "Positive", 0, 7, 12, f"AU{i}"] for i in range(150)]
    sheets(tmp_path / "4DME_Labelling_Micro_release v1.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "gray_micro/s01/clip_144", range(15), "{}.jpg")
    assert one(load("4dme", tmp_path, MAKE)).aus == "AU145"
    assert one(load("4dme", tmp_path, Corrections(without=frozenset({"swapped-aus"})))).aus == "AU144"


def test_load_4dme_tentative_aus_uncorrected(tmp_path):
    fourdme(tmp_path)
    assert one(load("4dme", tmp_path, Corrections(apply=False))).aus == "AU12+AU4(k)"
