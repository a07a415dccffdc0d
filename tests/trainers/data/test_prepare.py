"""From a release to a flow set."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from merau.trainers.cli import main
from merau.trainers.data import flow_set, prepare
from merau.trainers.data.prepare import load
from merau.trainers.data.synth import clips as synth_clips
from merau.trainers.data.synth.image_pairs import read_faces
from merau.trainers.data.synth.portrait import Portrait
from tests.trainers.data.releases.layouts import MAKE, frames, samm, sheets


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


def test_prepare_gives_set_that_evaluate_reads(animated, tmp_path, capsys):
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
    assert not np.array_equal(flow_set.read(out / "index.csv").image[0], data.image[0])


def test_prepare_cde_takes_listed_clips_only(animated, tmp_path, capsys):
    listed, out = tmp_path / "combined_3class_gt.csv", tmp_path / "cde"
    listed.write_text("casme2,sub02,EP02,0\ncasme2,sub03,EP3,0\ncasme2,sub26,EP1,1\nsamm,006,006_1_2,2\n")
    samm(tmp_path / "samm")
    for frame in (tmp_path / "samm/SAMM/006/006_1_2").iterdir():
        shutil.copy(animated / "sub02/EP2" / ("img10.png" if frame.stem < "006_05580" else "img14.png"), frame)
    for release, root in (("casme2", animated), ("samm", tmp_path / "samm"), ("casme2", animated)):
        assert main(["prepare", release, str(root), "--out", str(out), "--cde", str(listed)]) == 0
    assert "lists 3 clips of casme2; 2 of them were found. Not found: sub26/EP1." in capsys.readouterr().out
    data = flow_set.read(out / "index.csv")  # one set of both, each clip once
    found = [tuple(map(str, row)) for row in zip(data.dataset, data.subject, data.sample, data.label, strict=True)]
    assert found == [("casme2", "sub02", "EP02", "0"), ("samm", "006", "006_1_2", "2")]
    assert list(data.emotion) == ["surprise", "anger"]
    report = (out / "report.txt").read_text().splitlines()
    for line in (
        "casme2: Left out: 01/EP1: not in combined_3class_gt.csv.",
        "casme2: Left out: sub03/EP3: no face was found.",
        "samm: combined_3class_gt.csv lists 1 clips of samm; 1 of them were found.",
    ):
        assert report.count(line) == 1
