from datetime import datetime

import pytest

from merau.engine.errors import UserError
from merau.stream.service.reading import read_config

WRONG = """\
page:
  prot: 80
defaults:
  detector: long
cameras:
  - name: Door
    source: rtsp://ann:secret@cam/a/b/c
    mask: [[[0, 0], [1, 2], [1, 1]]]
    schedule:
      - {days: [mon, sonday], from: 18:00, to: 06:00}
  - name: Hall
    purpose: x
    source: 0
"""


@pytest.fixture
def read(tmp_path):
    file = tmp_path / "c.yaml"

    def read_text(text):
        file.write_text(text)
        return read_config(file)

    return read_text


def error(read, text):
    with pytest.raises(UserError) as raised:
        read(text)
    return [line.partition("c.yaml, ")[2] for line in str(raised.value).splitlines()]


def test_read_config_names_line_field_and_remedy(read):
    assert error(read, WRONG) == [
        "line 2: page.prot: there is no such setting: did you mean 'port'?",
        "line 4: defaults.detector: Unknown face detector 'long': choose short, wide, insightface, or yunet:PATH with "
        "the path of a YuNet ONNX file.",
        "line 8: cameras.0.mask.0.1.1: '2' does not fit: it should be less than or equal to 1.",
        "line 10: cameras.0.schedule.0.days.1: 'sonday' does not fit: it should be 'mon', 'tue', 'wed', 'thu', 'fri', "
        "'sat' or 'sun'.",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cameras: [", "line 1: this is no YAML"),
        ("store: a\nstore: b", "line 2: store: this is set twice"),
        ("cameras:\n  - name: A\n    source: 0\n  - {name: A, source: 1}", "two cameras are called 'A'"),
        ("cameras:\n  - source: 0", "line 2: cameras.0.name: this is missing: add it."),
        ("cameras:\n  - {name: A, source: 0, password: x}", "line 2: cameras.0: `password` needs a source such as"),
        ("page: {host: 0.0.0.0}\ncameras:\n  - {name: A, source: 0}", "give it a `login`"),
        ("page: {allowed_hosts: ['http://a']}", "line 1: page: UiSettings.allowed_hosts is ('http://a',)"),
        ("store: ${NOWHERE}", "line 1: store: the environment has no NOWHERE: set it"),
        ("\nstore: ${file:/nowhere}", "line 2: store: the file /nowhere cannot be read: No such file"),
    ],
)
def test_read_config_tells_what_is_wrong(read, text, told):
    assert told in "".join(error(read, text))


def test_read_config_shows_no_secret(read, monkeypatch):
    monkeypatch.setenv("DOOR", "hush")
    told = error(read, "cameras:\n  - {name: A, source: rtsp://ann@cam/x, password: ${DOOR}, rate: 3}")
    assert told
    assert "hush" not in str(told)
    numeric = error(read, "cameras:\n  - {name: A, source: rtsp://ann@cam/x, password: 1234}")
    assert numeric == ["line 2: cameras.0.password: this does not fit: it should be a valid string."]


def test_read_config_takes_secrets_from_elsewhere(read, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRETS", str(tmp_path))
    (tmp_path / "door").write_text("p@ss word\nmore\n")
    config = read(
        "defaults: {purpose: x, detector: wide}\n"
        "cameras:\n"
        "  - {name: A, source: rtsp://ann@cam/x, password: '${file:${SECRETS}/door}', detector: short}\n"
        "  - {name: B, source: 0}\n"
    )
    first, second = config.cameras
    assert first.address == "rtsp://ann:p%40ss%20word@cam/x"
    assert "p@ss" not in repr(config)
    assert (first.detector, second.detector, second.source, second.purpose) == ("short", "wide", "0", "x")


def test_schedule_goes_past_midnight(read):
    schedule = "[{days: [fri], from: 18:00, to: 06:00}]"
    (camera,) = read(f"cameras: [{{name: A, source: 0, purpose: x, schedule: {schedule}}}]").cameras
    times = ["2026-03-06T17:59", "2026-03-06T18:00", "2026-03-07T05:59", "2026-03-07T06:00", "2026-03-07T18:00"]
    assert [camera.is_on(datetime.fromisoformat(at)) for at in times] == [False, True, True, False, False]
