"""Each loader on a made-up release of its layout: what it finds, what it mends, what it leaves out and why."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from openpyxl import Workbook

from merau.engine.errors import UserError
from merau.trainers.cli import main
from merau.trainers.data import cde, flow_set, prepare
from merau.trainers.data.prepare import RELEASES, load
from merau.trainers.data.releases.release import Corrections
from merau.trainers.data.synth import clips as synth_clips
from merau.trainers.data.synth.image_pairs import read_faces
from merau.trainers.data.synth.portrait import Portrait

MAKE = Corrections()
DOT = cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()


def sheets(path: Path, **tables: list) -> None:
    """A workbook of one sheet per keyword, lists of rows; `_` in a name stands for a blank."""
    book = Workbook()
    book.remove(book.active)
    for name, rows in tables.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def frames(folder: Path, numbers, pattern: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n in numbers:
        (folder / pattern.format(n)).write_bytes(DOT)


def one(release):
    assert len(release.samples) == 1, release.skipped
    return release.samples[0]


def casme(root):
    head = ["Subject", "Filename", None, "OnsetF", "ApexF1", "ApexF2", "OffsetF", None, "AU", "Emotion"]
    sheets(root / "casme.xlsx", Sheet1=[head, [1, "EP01_12", None, 3, 6, 0, 9, None, "4+7", "Tense"]])
    frames(root / "CASME_raw_selected/sub01/EP01_12", range(3, 10), "EP01_12-{:03d}.jpg")
    frames(root / "CASME_raw_selected/sub11/EP01_12", range(3, 10), "EP01_12-{:03d}.jpg")


def casme2(root):
    head = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units",
            "Estimated Emotion"]  # fmt: skip
    sheets(
        root / "CASME2-coding-20140508.xlsx", Sheet1=[head, ["01", "EP02_01f", None, 46, 59, 86, None, 12, "happiness"]]
    )
    frames(root / "CASME2_RAW_selected/CASME2_RAW_selected/sub01/EP02_01f", range(46, 87), "img{}.jpg")


def smic(camera):
    def build(root):
        frames(root / camera / "s3/micro/positive/s3_po_05", range(17581039, 17581059), "image{}.bmp")
        frames(root / camera / "s3/non_micro/s3_po_06", range(9), "image{}.bmp")
        frames(root / f"{camera}_long/s3/s3_po_07", range(9), "image{}.jpg")

    return build  # fmt: skip


def samm(root):
    head = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
            "Action Units", "Estimated Emotion", "Objective Classes", "Notes"]  # fmt: skip
    rows = [["preamble"]] * 13 + [head, ["006", "006_1_2", 1, 5562, 5588, 5632, 71, "Micro - 1/2", "4+7", "Anger", 3]]
    sheets(root / "SAMM_Micro_FACS_Codes_v2.xlsx", MICRO_ONLY=rows)
    frames(root / "SAMM/006/006_1_2", range(5562, 5633), "006_{:05d}.jpg")


def samm_lv(root):
    samm(root)
    head = ["Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type", "Action Units",
            "Notes"]  # fmt: skip
    rows = [["preamble"]] * 9 + [
        head,
        ["006", "006_1_2", 1, 3562.4, -1, 3632, 71, "Micro - 1/2", "4+7", ""],
        ["006", "006_1_3", 1, 4000, 4100, 4200, 200, "Macro", "12", ""],
    ]
    sheets(root / "SAMM_LongVideos_V2_Release.xlsx", FACS_Movement_Only=rows)
    frames(root / "SAMM_longvideos/006_1", range(3560, 3640), "006_1_{:04d}.jpg")


def casme_squared(root):
    sheets(
        root / "CAS(ME)^2code_final.xlsx",
        CASFEcode_final=[[1, "anger1_1", 557, 572, 0, "4", "negative", "micro-expression", "anger"],
                         [1, "anger1_2", 557, 572, 590, "12", "positive", "macro-expression", "happyiness"]],
        **{"naming rule1": [[15, "s15", 1]], "naming rule2": [[401, "anger1"], [101, "disgust1"]]},
    )  # fmt: skip
    frames(root / "rawpic/s15/15_0401girlcrashing", range(550, 600), "img{}.jpg")
    frames(root / "rawpic/s15/15_0101disgustingteeth", range(550, 600), "img{}.jpg")


def casme_cubed(root):
    head = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
    rows = [
        head,
        ["spNO.1", "a", 178, 181, 185, "4", "I", "disgust"],
        ["spNO.1", "a", 200, 200, 205, "4", "I", "anger"],
    ]
    sheets(root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", label=rows)
    frames(root / "part_A/spNO.1/a/color", range(170, 210), "{}.jpg")
    frames(root / "part_A/spNO.1/a/depth", range(170, 210), "{}.png")


def mmew(root):
    head = [
        "Subject",
        "Filename",
        "OnsetFrame",
        "ApexFrame",
        "OffsetFrame",
        "Action Units",
        "Estimated Emotion",
        "remarks",
    ]
    sheets(root / "MMEW_Micro_Exp.xlsx", Sheet1=[head, [3, "S03-01-002", 1, 13, 20, "12", "happiness", ""]])
    frames(root / "Micro_Expression/happiness/S03-01-002", range(1, 21), "{}.jpg")


def fourdme(root):
    head = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs", "AU1"]
    sheets(
        root / "4DME_Labelling_Micro_release v1.xlsx",
        Sheet1=[head, ["s01", "clip_1", "Positive", 0, 7, 12, "AU12+AU4(k)", 0]],
    )
    frames(root / "gray_micro/s01/clip_1", range(15), "{}.jpg")


def dfme(root):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU"]
    sheets(
        root / "training_full_with_AU.xlsx",
        Sheet1=[head, ["sub0003", "sub0003_01", 1, 30, 60, "happiness", 4, 500, "L12"]],
    )
    frames(root / "train/sub0003_01", range(1, 61), "{:05d}.png")


def ck_plus(root):
    frames(root / "cohn-kanade-images/S011/001", range(1, 17), "S011_001_{:08d}.png")
    for folder, name, line in (
        ("Emotion", "emotion", "   7.0e+00\n"),
        ("FACS", "facs", "  1.0e+00  0\n  2.0e+00  0\n"),
    ):
        path = root / folder / f"S011/001/S011_001_00000016_{name}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(line)


def dfew(root):
    for split, line in (("train", "00001,1"), ("test", "2,3")):
        path = root / f"label/single_{split}set_1.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"video_name,label\n{line}\n")
    frames(root / "data_affine/single_label/data/00001", range(1, 17), "00001_{:05d}.jpg")


LAYOUTS = {  # release: (made by, subject, name, frames from onset to offset, apex, AUs, emotion, label)
    "casme": (casme, "01", "EP01_12", 7, 3, "4+7", "tense", None),
    "casme2": (casme2, "01", "EP02_01f", 41, 13, "12", "happiness", "positive"),
    "smic-hs": (smic("HS"), "s03", "s3_po_05", 20, 9, "", "positive", "positive"),
    "smic-vis": (smic("VIS"), "s03", "s3_po_05", 20, 9, "", "positive", "positive"),
    "smic-nir": (smic("NIR"), "s03", "s3_po_05", 20, 9, "", "positive", "positive"),
    "samm": (samm, "006", "006_1_2", 71, 26, "4+7", "anger", "negative"),
    "samm-lv": (samm_lv, "006", "006_1_2", 71, 35, "4+7", "anger", "negative"),
    "casme^2": (casme_squared, "01", "anger1_1", 16, 15, "4", "negative", "negative"),
    "casme^3": (casme_cubed, "1", "a", 8, 3, "4", "disgust", "negative"),
    "mmew": (mmew, "03", "S03-01-002", 20, 12, "12", "happiness", "positive"),
    "4dme": (fourdme, "s01", "clip_1", 13, 7, "AU12", "positive", "positive"),
    "dfme": (dfme, "sub0003", "sub0003_01", 60, 29, "L12", "happiness", "positive"),
    "ck+": (ck_plus, "S011", "001", 16, 15, "1+2", "surprise", "surprise"),
    "dfew": (dfew, "00001", "00001", 16, 7, "", "happiness", "positive"),
}


@pytest.mark.parametrize("name", RELEASES)
def test_the_clip_of_a_made_up_release(name, tmp_path):
    make, subject, clip, count, apex, aus, emotion, label = LAYOUTS[name]
    make(tmp_path)
    release = load(name, tmp_path, MAKE)
    sample = release.samples[0]
    assert (sample.dataset, sample.subject, sample.name) == (name, subject, clip)
    assert (len(sample.frames), sample.apex) == (count, apex)
    assert (sample.aus, sample.emotion, sample.label) == (aus, emotion, label)
    assert all(path.is_file() for path in sample.frames)


@pytest.mark.parametrize("name", RELEASES)
def test_a_wrong_folder_is_one_sentence(name, tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"(holds no|no folder)"):
            load(name, folder, MAKE)


def test_the_people_of_one_number_are_not_mixed_up(tmp_path):
    casme(tmp_path)
    assert "sub01" in str(one(load("casme", tmp_path, MAKE)).frames[0])


def test_a_clip_of_smic_is_one_however_its_subject_is_padded(tmp_path):
    root = tmp_path / "SMIC-all"  # in the name of the folder itself, "SMIC-" does not stand for SMIC-E's long clips
    smic("HS")(root)
    frames(root / "SMIC_all_cropped/HS/s3/micro/positive/s03_po_05", range(17581039, 17581059), "reg_image{}.bmp")
    assert one(load("smic-hs", root, MAKE)).subject == "s03"


def test_the_number_of_a_release_is_no_subject(tmp_path):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    sheets(tmp_path / "CASME2-coding.xlsx", Sheet1=[head, [2, "EP01", 1, 2, 3, "4", "disgust"]])
    for subject in ("sub01", "sub02"):
        frames(tmp_path / "CASME2-RAW" / subject / "EP01", range(1, 4), "img{}.jpg")
    assert "sub02" in str(one(load("casme2", tmp_path, MAKE)).frames[0])


def test_what_is_left_out_is_named_with_its_reason(tmp_path):
    casme_cubed(tmp_path)
    release = load("casme^3", tmp_path, MAKE)
    assert release.skipped == [("1/a_2", "onset and apex are the same frame, 200")]
    samm_lv(tmp_path / "lv")
    release = load("samm-lv", tmp_path / "lv", MAKE)
    assert [name for name, _ in release.skipped] == ["006/006_1_3"]  # its frames end earlier
    assert any("no apex annotated" in note for note in release.notes)


def test_corrections_are_told_and_can_be_left_out(tmp_path):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    rows = [[1 + i % 26, f"EP{i:02d}", 5, "/" if i == 29 else 8, 12, "4", "disgust"] for i in range(255)]
    sheets(tmp_path / "CASME2-coding.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "sub04/EP29", range(270, 300), "img{}.jpg")
    made = load("casme2", tmp_path, MAKE)
    assert any("Correction 29:apex: / -> 279" in note for note in made.notes)
    assert len(made.notes) == 22
    reasons = dict(made.skipped)
    assert len(reasons) == 255
    assert reasons["01/EP00"] == "its frames are not there"
    assert "279" in reasons["04/EP29"]  # 5, 279, 12: the correction was made
    without = load("casme2", tmp_path, Corrections(without=frozenset({"29:apex"})))
    assert len([note for note in without.notes if note.startswith("Correction")]) == 21
    assert not [n for n in load("casme2", tmp_path, Corrections(made=False)).notes if n.startswith("Correction")]


def test_a_sheet_of_other_length_is_not_corrected_blindly(tmp_path):
    casme2(tmp_path)
    assert load("casme2", tmp_path, MAKE).notes == [
        "The sheet has 1 rows, the published one 255: no correction was made."
    ]


def test_units_that_samm_leaves_open_are_told(tmp_path):
    head = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Action Units", "Estimated Emotion"]
    rows = [[6, f"006_{i}", 1, 2, 3, "R12 or R14" if i in (15, 64) else "4", "Other"] for i in range(159)]
    sheets(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", MICRO_ONLY=[["preamble"]] * 13 + [head, *rows])
    frames(tmp_path / "006/006_15", (1, 2, 3), "006_{}.jpg")
    left = load("samm", tmp_path, MAKE)
    assert one(left).aus == "R12 or R14"
    assert any("left open, neither coded nor absent, in 2" in n for n in left.notes)


def test_others_of_mmew_are_repression_only_where_asked(tmp_path):
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    rows = [[1, f"S01-07-{i:03d}", 1, 9, 9, "17", "others"] for i in range(3)]
    sheets(tmp_path / "MMEW_Micro_Exp.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "others/S01-07-001", range(1, 10), "{}.jpg")
    sample = one(load("mmew", tmp_path, MAKE))
    assert (sample.emotion, sample.label) == ("others", None)
    read = load("mmew", tmp_path, Corrections(readings=frozenset({"others-as-repression"})))
    assert one(read).label == "negative"
    assert any("of 3 clips" in note for note in read.notes)


def test_two_rows_of_4dme_have_each_others_action_units(tmp_path):
    head = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"]
    rows = [["s01", f"clip_{i}", "Positive", 0, 7, 12, f"AU{i}"] for i in range(150)]
    sheets(tmp_path / "4DME_Labelling_Micro_release v1.xlsx", Sheet1=[head, *rows])
    frames(tmp_path / "gray_micro/s01/clip_144", range(15), "{}.jpg")
    assert one(load("4dme", tmp_path, MAKE)).aus == "AU145"
    assert one(load("4dme", tmp_path, Corrections(without=frozenset({"swapped-aus"})))).aus == "AU144"


def test_tentative_action_units_stay_where_that_correction_is_left_out(tmp_path):
    fourdme(tmp_path)
    assert one(load("4dme", tmp_path, Corrections(made=False))).aus == "AU12+AU4(k)"


@pytest.fixture(scope="module")
def animated(tmp_path_factory):
    """CASME II with two subjects of moving faces, and one of no face."""
    from merau.engine.face_mesh import FaceNets
    from merau.trainers.data.synth.action_units import BUMPS

    root = tmp_path_factory.mktemp("release")
    face = read_faces([synth_clips.ASTRONAUT], FaceNets())[0]
    portrait = Portrait(face.picture, face.landmarks, size=(360, 320), face_px=160, bumps=BUMPS)
    head = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    rows = []
    for subject, (au, emotion) in enumerate(((12, "happiness"), (2, "surprise")), start=1):
        folder = root / f"sub{subject:02d}/EP{subject}"
        folder.mkdir(parents=True)
        for t in range(5):
            channels = {f"{au} {side}": 3.0 * t / 4 for side in ("left", "right")}
            cv2.imwrite(str(folder / f"img{t + 10}.png"), portrait.frame(channels))
        rows.append([subject, f"EP{subject}", 10, 14, 14, str(au), emotion])
    rows.append([3, "EP3", 1, 2, 3, "4", "disgust"])
    frames(root / "sub03/EP3", (1, 2, 3), "img{}.png")
    sheets(root / "CASME2-coding.xlsx", Sheet1=[head, *rows])
    return root


def test_a_release_becomes_a_flow_set_that_predict_and_evaluate_read(animated, tmp_path, capsys):
    out = tmp_path / "set"
    command = ["prepare", "casme2", str(animated), "--out", str(out)]
    assert main(command) == 0
    assert "casme2: 2 clips, 1 left out" in capsys.readouterr().out
    assert "no face was found" in (out / "report.txt").read_text()
    data = flow_set.read(out / "index.csv")
    assert list(data.emotion) == ["happiness", "surprise"]
    assert list(data.label) == [1, 2]
    assert cv2.imread(data.crops[0]).shape[:2] == (3 * 180, 168)  # onset, apex, and the frame before it
    evaluate = ["evaluate", "--protocol", "zero-shot", "--flows", str(out / "index.csv")]
    assert main([*evaluate, "--json", str(tmp_path / "z.json")]) == 0
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert len(written) == 6
    assert main(command) == 0
    assert written == {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}  # what is there stays
    release = load("casme2", animated, MAKE)  # with another apex it is measured anew
    release.samples[:] = [replace(sample, apex=2) for sample in release.samples[:2]]
    prepare.prepare(release, tmp_path / "set", prepare.PrepareSettings())
    assert not np.array_equal(flow_set.read(out / "index.csv").picture[0], data.picture[0])


def test_cde_is_what_its_list_names(animated, tmp_path, capsys):
    listed, out = tmp_path / "combined_3class_gt.csv", tmp_path / "cde"
    listed.write_text("casme2,sub02,EP02,0\ncasme2,sub03,EP3,0\ncasme2,sub26,EP1,1\nsamm,006,006_1_2,2\n")
    samm(tmp_path / "samm")
    for frame in (tmp_path / "samm/SAMM/006/006_1_2").iterdir():
        shutil.copy(animated / "sub02/EP2" / ("img10.png" if frame.stem < "006_05580" else "img14.png"), frame)
    for release, root in (("casme2", animated), ("samm", tmp_path / "samm"), ("casme2", animated)):
        assert main(["prepare", release, str(root), "--out", str(out), "--cde", str(listed)]) == 0
    assert "names 3 clips of casme2, 2 of them were found. Not found: sub26/EP1." in capsys.readouterr().out
    data = flow_set.read(out / "index.csv")  # one set of both, each clip once
    found = [tuple(map(str, row)) for row in zip(data.dataset, data.subject, data.sample, data.label, strict=True)]
    assert found == [("casme2", "sub02", "EP02", "0"), ("samm", "006", "006_1_2", "2")]
    assert list(data.emotion) == ["surprise", "anger"]
    report = (out / "report.txt").read_text().splitlines()
    for line in (
        "casme2: Left out: 01/EP1: not in combined_3class_gt.csv.",
        "casme2: Left out: sub03/EP3: no face was found.",
        "samm: combined_3class_gt.csv names 1 clips of samm, 1 of them were found.",
    ):
        assert report.count(line) == 1


@pytest.mark.parametrize(
    ("name", "line"), [("casme2", "casme2,sub01,EP02_01f"), ("smic-hs", "smic,s03,s03_po_05"), ("samm", "samm,6,6_1_2")]
)
def test_the_list_of_cde_pads_numbers_as_it_likes(name, line, tmp_path):
    LAYOUTS[name][0](tmp_path)
    (tmp_path / "list.csv").write_text(f"{line},2\nother,sub01,EP02_01f,0\n")
    sample = one(cde.chosen(load(name, tmp_path, MAKE), tmp_path / "list.csv"))
    assert ",".join((sample.dataset, sample.subject, sample.name)) == line
    assert sample.label == "surprise"


def test_a_list_that_is_not_cdes_is_one_sentence(tmp_path):
    casme2(tmp_path)
    release, listed = load("casme2", tmp_path, MAKE), tmp_path / "list.csv"
    for text, sentence in (
        ("casme2,sub01,EP02_01f\n", "line 1 is no line like casme2,sub01,EP02_01f,1"),
        ("casme2,sub01,EP02_01f,\n", "line 1 is no line like"),
        ("casme2,sub01,EP02_01f,3\n", "label is '3'"),
        ("smic,s1,s1_ne_01,0\n", "names no clip of casme2"),
    ):
        listed.write_text(text)
        with pytest.raises(UserError, match=sentence):
            cde.chosen(release, listed)
    with pytest.raises(UserError, match="cannot be read"):
        cde.chosen(release, tmp_path / "none.csv")
    with pytest.raises(UserError, match="CDE has no clip of smic-vis"):
        cde.chosen(replace(release, dataset="smic-vis"), listed)


def test_an_unknown_release_lists_those_that_are_known(tmp_path, capsys):
    assert main(["prepare", "casme4", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert "choose one of casme, casme2" in capsys.readouterr().err


def test_a_mistyped_correction_is_refused_with_those_there_are(tmp_path, capsys):
    for release, typed, there in (
        ("casme2", "29:apx", "its corrections are 60:offset, 29:apex, 35:apex"),
        ("4dme", "tentative", "its corrections are tentative-aus, swapped-aus"),
        ("smic-hs", "1:apex", "it has none"),
    ):
        command = ["prepare", release, str(tmp_path), "--out", str(tmp_path / "o"), "--without", typed]
        assert main(command) == 1
        assert f"no correction {typed} of {release} to leave out: {there}" in capsys.readouterr().err
    command = ["prepare", "mmew", str(tmp_path), "--out", str(tmp_path / "o"), "--with", "others"]
    assert main(command) == 1
    assert "no reading others of mmew to make: its readings are others-as-repression" in capsys.readouterr().err
