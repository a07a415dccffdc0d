"""Made-up releases in the layout of each published data set."""

from pathlib import Path

import cv2
import numpy as np
from openpyxl import Workbook

from merau.trainers.data.releases.release import Corrections

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


def described(sample):
    """Data set, subject, name, number of frames, apex, AUs, emotion and label."""
    assert all(path.is_file() for path in sample.frames)
    return (
        sample.dataset, sample.subject, sample.name, len(sample.frames), sample.apex, sample.aus, sample.emotion,
        sample.label,
    )  # fmt: skip


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
        path.write_text(f"video_name;label\n{line.replace(',', ';')}\n", encoding="utf-16")
    frames(root / "data_affine/single_label/data/00001", range(1, 17), "00001_{:05d}.jpg")


LAYOUTS = {  # release: made by
    "casme": casme,
    "casme2": casme2,
    "smic-hs": smic("HS"),
    "smic-vis": smic("VIS"),
    "smic-nir": smic("NIR"),
    "samm": samm,
    "samm-lv": samm_lv,
    "casme^2": casme_squared,
    "casme^3": casme_cubed,
    "mmew": mmew,
    "4dme": fourdme,
    "dfme": dfme,
    "ck+": ck_plus,
    "dfew": dfew,
}
