"""Flow sets: what is read back from 8-bit images, and what is refused."""

import cv2
import numpy as np
import pytest

from merau.engine.errors import UserError
from merau.engine.preprocess import split_pattern_and_magnitude
from merau.trainers.data import flow_set
from merau.trainers.data.synth.flow_fields import FlowSettings, flows

HEADER = "dataset,subject,sample,label,flow_png\n"


@pytest.fixture(scope="module")
def drawn():
    return flows(np.random.default_rng(3), 60, FlowSettings(no_expression=0))


def smooth_flow() -> np.ndarray:
    """(2, 28, 28): two bumps, v twice as strong as u."""
    x, y = np.meshgrid(np.linspace(0, 1, 28), np.linspace(0, 1, 28))
    bump = np.exp(-(((x - 0.3) / 0.12) ** 2) - ((y - 0.8) / 0.1) ** 2)
    other = np.exp(-(((x - 0.7) / 0.1) ** 2) - ((y - 0.2) / 0.15) ** 2)
    return np.stack([bump - 0.4 * other, 2 * other - bump]).astype(np.float32)


def write_set(folder, rows, *, header=HEADER, pictures=("a.png", "b .png")):
    for name in pictures:
        cv2.imwrite(str(folder / name), flow_set.encode_flow(smooth_flow()))
    index = folder / "index.csv"
    index.write_bytes((header + rows).encode("utf-8-sig"))
    return index


def test_read_flow_normalizes_each_channel_by_itself():
    flow = np.random.default_rng(0).normal(0, 1, (2, 28, 28)).astype(np.float32) + smooth_flow()
    one, other = (flow_set.read_flow(flow_set.encode_flow(f)) for f in (flow, flow * np.float32([[[0.2]], [[3]]])))
    assert np.allclose(one, other, atol=0.05)
    assert np.allclose(np.median(one, (1, 2)), 0, atol=1e-5)
    assert np.allclose(one.std((1, 2)), 1, atol=1e-3)
    grown = [cv2.resize(axis, (32, 32), interpolation=cv2.INTER_LINEAR) for axis in flow]
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(grown, one, strict=True)]
    assert min(alike) > 0.99


def test_read_flow_ignores_the_strain_and_keeps_head_motion():
    image = flow_set.encode_flow(smooth_flow())
    other = image.copy()
    other[..., 0] = 255 - other[..., 0]
    assert np.array_equal(flow_set.read_flow(image), flow_set.read_flow(other))
    x, _ = np.meshgrid(np.linspace(-1, 1, 28), np.linspace(-1, 1, 28))
    turned = flow_set.read_flow(flow_set.encode_flow(smooth_flow() + np.float32(3 * x)))
    assert np.corrcoef(turned[0].mean(0), np.linspace(-1, 1, 32))[0, 1] > 0.99


def test_read_flow_recovers_pattern(drawn):
    pattern, _ = split_pattern_and_magnitude(drawn.flow)
    read = np.stack([flow_set.read_flow(flow_set.encode_flow(flow)) for flow in drawn.flow])
    assert read.shape == (60, 2, 32, 32)
    assert read.dtype == np.float32
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(pattern, read, strict=True)]
    assert np.median(alike) > 0.93


@pytest.mark.parametrize("value", [0, 255])
def test_read_flow_without_motion_is_zero(value):
    assert not flow_set.read_flow(np.full((28, 28, 3), value, np.uint8)).any()


def test_read_unusual_but_valid_index(tmp_path):
    header = "flow_png, label ,note,Dataset,subject,sample\r\n"
    rows = '"a.png",2.0,"x, y",casme2,01,EP02_01f\r\n\r\n,,,,,\r\nb .png,,,samm,01,006_1_2\r\n'
    data = flow_set.read(write_set(tmp_path, rows, header=header))
    assert list(data.label) == [2, flow_set.UNLABELLED]
    assert list(data.subject) == ["01", "01"]
    assert len(set(data.person)) == 2
    assert data.image.shape == (2, 28, 28, 3)
    assert data.image.dtype == np.uint8


def test_read_malformed_set_is_explained(tmp_path):
    grey, large = tmp_path / "grey.png", tmp_path / "large.png"
    cv2.imwrite(str(grey), np.zeros((28, 28), np.uint8))
    cv2.imwrite(str(large), np.zeros((32, 28, 3), np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    for rows, sentence in (
        ("d,s,c,0,none.png\n", "line 2: there is no image"),
        ("d,s,c,0,a.png\nd,s,c,0,grey.png\n", "line 3: .*grey.png is 28 x 28 uint8; expected 28 x 28 x 3 uint8"),
        ("d,s,c,0,large.png\n", "is 32 x 28 x 3 uint8; expected"),
        ("d,s,c,0,text.png\n", "not an image"),
        ("d,s,c,0,\n", "flow_png is empty"),
        ("d,s,c,7,a.png\n", "label is '7'; write 0 \\(negative\\), 1"),
        ("d,s\n", "line 2 has 2 cells"),
        ("d,s,c,0,a.png,b\n", "line 2 has 6 cells"),
        ("", "holds no sample"),
    ):
        with pytest.raises(UserError, match=sentence):
            flow_set.read(write_set(tmp_path, rows))
    with pytest.raises(UserError, match="lacks the column subject, flow_png"):
        flow_set.read(write_set(tmp_path, "", header="dataset,sample,label\n"))
    with pytest.raises(UserError, match="cannot be read"):
        flow_set.read(tmp_path / "none.csv")


def test_read_several_indices_refuses_duplicates(tmp_path):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    rows = "smic,01,c1,0,a.png\nSMIC,01,c2,1,b .png\n", "Smic,01,c3,2,a.png\nsamm,01,c1,0,a.png\n"
    one, two = (write_set(folder, row) for folder, row in zip(folders, rows, strict=True))
    data = flow_set.read(two, one)
    assert list(data.sample) == ["c3", "c1", "c1", "c2"]
    assert list(data.dataset) == ["Smic", "samm", "Smic", "Smic"]
    assert flow_set.digest(data) != flow_set.digest(flow_set.read(one, two)) != flow_set.digest(flow_set.read(one))
    twice = f"{two}, line 4 repeats the sample smic/01/c1 of {one}, line 2."
    two.write_text(two.read_text() + "Smic,01,c1,2,b .png\n")
    with pytest.raises(UserError) as error:
        flow_set.read(one, two)
    assert str(error.value) == twice
    cv2.imwrite(str(folders[1] / "b .png"), flow_set.encode_flow(-smooth_flow()))
    assert len(flow_set.read(one, two)) == 5  # another picture is another sample, whatever its name


def test_read_set_as_a_spreadsheet_saves_it(tmp_path):
    header = "dataset;subject;sample;label;flow_png;aus;duration_s\r\n"
    rows = (
        "casme2;01;c1;2,0;a.png;4+L10;0,6\r\n;;;;;;\r\ncasme2;sub01;c2;;b .png;;\r\ncasme2;Sub1;c3;0;a.png;12;0,5\r\n"
    )
    index = write_set(tmp_path, rows, header=header)
    plain = flow_set.read(index)
    index.write_text((header + rows).replace(";", "\t"), encoding="utf-16")
    for data in (plain, flow_set.read(index)):
        assert data.label.tolist() == [2, flow_set.UNLABELLED, 0]
        assert np.array_equal(data.duration_s, [0.6, np.nan, 0.5], equal_nan=True)
        assert len(set(data.person)) == 1
        assert data.aus.tolist() == ["4+L10", "", "12"]
    assert flow_set.warnings(plain) == [
        "casme2: subjects that are spelled in several ways are one person: 01 = Sub1 = sub01.",
        "casme2: 1 of 2 samples of known length last more than 0.5 s from onset to offset. They count as the release "
        "codes them; models see onset to apex only.",
    ]


def test_read_set_with_dates_for_units_is_refused(tmp_path):
    header = HEADER.replace("\n", ",aus,duration_s\n")
    for cells, sentence in (
        ("07. Apr,", "line 2: aus: '07. Apr' is a date, a time or a number"),
        ("4+712,", "line 2: aus: .* 712, which FACS does not have"),
        ("4,long", "line 2: duration_s is 'long'"),
    ):
        with pytest.raises(UserError, match=sentence):
            flow_set.read(write_set(tmp_path, f"d,s,c,0,a.png,{cells}\n", header=header))


def test_subjects_with_other_letters_are_other_people():
    names = ("C1", "1", "006", "6_1", "S011", "anna", " Anna")
    assert [flow_set.subject_key(name) for name in names] == ["c1", "1", "6", "6_1", "11", "anna", "anna"]
