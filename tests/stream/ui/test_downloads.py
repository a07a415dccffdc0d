import csv
import io
import zipfile
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page

from merau.engine.errors import UserError
from merau.engine.text import plain
from merau.stream.export import FORMATS
from merau.stream.ui.downloads import download

# A browser has a WebVTT reader of its own.
CUES = """async (text) => {
  const track = document.createElement("track");
  track.src = URL.createObjectURL(new Blob([text], { type: "text/vtt" }));
  track.default = true;
  const video = document.createElement("video");
  video.append(track);
  const loaded = new Promise((done) => { track.onload = track.onerror = done; });
  document.body.append(video);
  track.track.mode = "showing";
  await loaded;
  return [...(track.track.cues ?? [])].map((cue) => [cue.id, cue.startTime, cue.getCueAsHTML().textContent]);
}"""


@pytest.fixture
def get(workspace, make_event):
    """Downloads from a workspace with one session of two events, of which the first has images and a clip."""
    bundle = workspace.teaching.bundle
    session = workspace.store.start_session(
        "Büro cam.mp4", settings={}, bundle=bundle.name, bundle_sha256=bundle.sha256
    )
    with_images = make_event(1.0, onset_jpeg=b"onset", apex_jpeg=b"apex", flow_png=b"flow")
    for event in (with_images, make_event(2.0)):
        workspace.store.put(session, event)
    workspace.store.put_clip(session, with_images.id, b"mp4")
    workspace.store.flush()
    state = SimpleNamespace(workspace=lambda token, name: workspace)

    def request(kind, **query):
        return download(state, kind, {"session": str(session)} | query)

    return request


def test_picture_has_its_media_type(get):
    for name, media_type in (("onset_jpeg", "image/jpeg"), ("flow_png", "image/png")):
        answer = get("picture", event="1-1.0", name=name)
        assert answer.body == name.split("_")[0].encode()
        assert answer.media_type == media_type
        assert answer.headers["cache-control"] == "no-store"


def test_clip_is_mp4(get):
    answer = get("clip", event="1-1.0")
    assert answer.body == b"mp4"
    assert answer.media_type == "video/mp4"


@pytest.mark.parametrize("suffix", FORMATS)
def test_events_are_named_after_source_and_session(get, suffix):
    answer = get("events", format=suffix)
    assert answer.headers["content-disposition"] == f'attachment; filename="B-ro-cam-1.{suffix}"'
    assert answer.body
    if suffix == "csv":
        assert len(list(csv.DictReader(io.StringIO(answer.body.decode())))) == 2


def test_clips_are_zipped_by_onset(get):
    with zipfile.ZipFile(io.BytesIO(get("clips").body)) as archive:
        assert archive.namelist() == ["00000.840-face1-micro.mp4"]


@pytest.mark.parametrize(
    ("kind", "query", "reason"),
    [
        ("nothing", {}, "nothing at this address"),
        ("picture", {"event": "1-1.0", "name": "embedding"}, "no such image"),
        ("picture", {"event": "1-2.0", "name": "onset_jpeg"}, "no such image"),
        ("picture", {"event": "none"}, "has been deleted"),
        ("clip", {"event": "1-2.0"}, "no clip of this event"),
        ("clips", {"session": "9"}, "no clips of this session"),
        ("events", {"format": "exe"}, "choose one of"),
        ("events", {"session": "x"}, "session is missing"),
        ("clip", {"session": "9" * 19}, "session is missing"),
        ("frame", {"session": "9" * 5000}, "session is missing"),
        ("head", {}, "No classes have been taught"),
    ],
)
def test_download_of_something_missing_raises(get, kind, query, reason):
    with pytest.raises(UserError, match=reason):
        get(kind, **query)


def test_webvtt_words_stay_words_in_a_browser(page: Page, make_event):
    words = ["a<b>&c", "x --> y", "two\n\nlines", "\x1b[31m", "<img src=x onerror=alert(1)>", "&lt;"]
    events = [make_event(1.0 + i, label=word, id=word, probabilities={word: 0.83}) for i, word in enumerate(words)]
    file = io.BytesIO()
    FORMATS["vtt"](events, file)
    cues = page.evaluate(CUES, file.getvalue().decode())
    assert [text for _, _, text in cues] == [f"face 1 · micro · {plain(word)} 83 % · AU6 AU12" for word in words]
    assert [start_s for _, start_s, _ in cues] == [pytest.approx(0.84 + i) for i in range(len(words))]
