import pytest

from merau.engine.errors import UserError
from merau.stream.sources import redact
from merau.stream.sources.address import lacks_password, read_addresses, with_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://ann:SECRET@cam:554/a", "rtsp://cam:554/a"),
        ("rtsp://ann:SE/CR@ET@cam/a", "rtsp://cam/a"),
        ("rtsp:ann:SECRET@cam/a", "rtsp:cam/a"),
        ("rtsp://cam/user=ann&password=SECRET&channel=1", "rtsp://cam/user=***&password=***&channel=1"),
        ("rtsp://cam/user=ann_password=SECRET_channel=1.sdp", "rtsp://cam/user=***"),
        ("rtsp://cam?pw=SECRET", "rtsp://cam?pw=***"),
        ("rtsp://cam/live?stream=0&sig=SECRET&p%77=SECRET", "rtsp://cam/live?stream=0&sig=***&p%77=***"),
        ("rtsp://cam/live;tok=SECRET?session_id=SECRET", "rtsp://cam/live;tok=***?session_id=***"),
        ("rtsps://cam:7441/SECRET0123456789?enableSrtp", "rtsps://cam:7441/***?enableSrtp"),
        ("rtsp://cam/live/SECRET.eyJzdWIi0.abc-DEF_12/x", "rtsp://cam/live/***/x"),
        ("rtsp://cam/Token/SECRET/x", "rtsp://cam/Token/***/x"),
        ("rtsp://cam/x?SECRET0123456789", "rtsp://cam/x?***"),
        ("rtsp://cam/x?stream=SECRET0123456789", "rtsp://cam/x?stream=***"),
    ],
)
def test_secrets_of_an_address_are_hidden(url, shown):
    assert redact(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam/a@1",
        "rtsp://cam/h264Preview_01_main",
        "rtsp://cam/cam/realmonitor?channel=1&subtype=0",
        "rtsp://cam/Streaming/Channels/101?transportmode=unicast&profile=Profile_1",
        "rtsp://cam/axis-media/media.amp?videocodec=h264&resolution=640x480",
        "/home/ann/pw=1?token=2.mp4",
        "0",
    ],
)
def test_the_rest_of_an_address_is_shown(url):
    assert redact(url) == url


def test_password_is_put_into_an_address():
    assert lacks_password("rtsp://ann@cam/a")
    assert not any(lacks_password(spec) for spec in ("rtsp://ann:x@cam/a", "rtsp://cam/a", "0", "a@b.mp4", "rtsp://[/"))
    assert with_password("rtsp://ann@cam/a", "s/e@c:r") == "rtsp://ann:s%2Fe%40c%3Ar@cam/a"


def test_addresses_are_read_from_a_file(tmp_path):
    path = tmp_path / "cameras.txt"
    path.write_text("\ufeff# door\n\n rtsp://ann:x@cam/a \n0\n", encoding="utf-8")
    assert read_addresses(path) == ["rtsp://ann:x@cam/a", "0"]
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is no text"):
        read_addresses(path)
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match="names no source"):
        read_addresses(path)
