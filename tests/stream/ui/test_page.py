"""The page in a real browser: what a person sees and does."""

import csv
import io
import re
import threading
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from merau.stream.export import FORMATS
from merau.stream.store import read_events, read_labels, read_sessions
from merau.stream.ui.config import Login
from scripts.support.rtsp_server import RtspServer
from tests.clips import demo_start
from tests.stream.ui.waiting import wait_for

LIT = """() => {
    const canvas = document.querySelector(".tile canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((sum, value, i) => (i % 4 < 3 ? sum + value : sum), 0) / data.length;
}"""


DARK = re.compile(r"\bdark\b")


def consent(page: Page, purpose: str = "a test") -> None:
    page.get_by_label("Purpose of the analysis").fill(purpose)
    page.get_by_label("Everyone in view has been informed and agrees").check()
    page.get_by_role("button", name="Start the analysis").click()


def open_review(page: Page) -> None:
    page.get_by_role("tab", name="Review").click()
    page.locator(".review tbody tr").first.wait_for()


def choose(page: Page, button: str, file: Path) -> None:
    """A file for an upload button."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files(file)


def names(page: Page) -> list[str]:
    """The words that were given, as the table shows them."""
    return [cell.removeprefix("✓ ") for cell in page.locator(".review td.user-label").all_inner_texts() if cell]


def test_live_view_shows_frames_what_is_in_them_and_events(showing, page):
    page.goto(showing.address)
    tile = page.locator(".tile")
    expect(tile.locator("h2")).to_have_text("interview.mp4")
    wait_for(lambda: page.evaluate(LIT) > 20, "a picture")
    expect(tile.locator(".person b").first).to_have_text("Face 1")
    expect(tile.locator(".events li.micro").first).to_contain_text("micro-expression")
    expect(tile.locator(".last-expression .label").first).not_to_be_empty()
    expect(tile.locator(".pill").first).to_have_text("ended")
    expect(tile.locator(".status")).to_contain_text("frames captured")
    tile.get_by_label("Mesh").check()
    tile.get_by_role("button", name="Play again").click()
    expect(tile.locator(".pill").first).to_have_text("playing")
    expect(tile.locator(".status")).to_contain_text("frames/s captured")
    page.evaluate("() => { merau.onShown = (camera, header) => { window.meshSeen ||= header.mesh > 0; }; }")
    page.wait_for_function("window.meshSeen")
    page.get_by_role("button", name="Dark or light").click()
    page.reload()
    expect(page.locator("body")).to_have_class(DARK)  # it is remembered
    page.get_by_role("button", name="Dark or light").click()
    expect(page.locator("body")).not_to_have_class(DARK)


def log_in(page: Page, password: str) -> None:
    page.get_by_label("username").fill("anna")
    page.get_by_label("password").fill(password)
    page.get_by_role("button", name="Login").click()


def test_cameras_come_and_go_while_it_runs_behind_a_login(serve, page, clip):
    app = serve(login=Login("anna", "geheim"))
    page.goto(app.address)
    log_in(page, "wrong")
    expect(page.get_by_text("Incorrect Credentials")).to_be_visible()
    log_in(page, "geheim")
    expect(page.locator(".empty h2").first).to_have_text("No camera yet")
    page.get_by_label("Camera or video file").fill("/nowhere/film.mp4")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("There is no file '/nowhere/film.mp4'.")).to_be_visible()
    page.get_by_label("Camera or video file").fill(str(clip))
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".tile .pill").first).to_have_text("playing")
    with RtspServer(user="guest", password="secret") as server:
        server.kill()
        page.get_by_label("Camera or video file").fill(server.url)
        page.get_by_role("button", name="Add", exact=True).click()
        camera = page.locator(".tile").nth(1)
        expect(camera.locator(".overlay")).to_contain_text("Waiting for purpose and consent.")
        consent(page)
        expect(camera.locator(".overlay")).to_contain_text("refuses the connection")
        for _ in range(2):
            server.start()
            expect(camera.locator(".pill").first).to_have_text("live")
            expect(camera.locator(".overlay")).to_be_empty()
            server.kill()
            expect(camera.locator(".pill").first).to_have_text("lost")
            expect(camera.locator(".overlay")).to_contain_text("Lost since")
    assert "secret" not in page.content()
    for left in (1, 0):
        page.get_by_role("button", name="Remove this camera").first.click()
        expect(page.locator(".tile")).to_have_count(left)
    assert not app.state.shared.cameras
    page.get_by_role("link", name="Log out").click()
    expect(page.get_by_label("password")).to_be_visible()


def test_a_webcam_is_analysed_after_consent_and_leaves_nothing_behind(serve, page):
    app = serve()
    page.goto(app.address)
    page.get_by_role("button", name="Start my webcam").click()
    expect(page.get_by_label("Purpose of the analysis")).to_be_focused()
    expect(page.get_by_label("Purpose of the analysis")).to_be_in_viewport()
    client = next(iter(app.state.clients.values()))
    workspace = client.workspace
    assert not workspace.cameras  # consent comes first
    consent(page, "my own face")
    tile = page.locator(".tile")
    expect(tile.locator("h2")).to_have_text("My webcam")
    expect(tile.locator(".events li.micro").filter(has_not_text="in progress").first).to_be_visible()
    expect(tile.locator(".status")).to_contain_text("camera to screen")
    assert page.evaluate("merau.webcam.coding") == "h264"
    page.get_by_role("button", name="Stop my webcam").click()
    expect(tile).to_have_count(0)
    session, *_ = read_sessions(workspace.store.path)
    assert session.purpose == "my own face"
    assert session.consented
    assert session.frames > 30
    times = [event.apex_s for event in read_events(workspace.store.path, session.id) if event.kind == "micro"]
    assert times
    assert times[0] > 1
    page.close()
    wait_for(lambda: not client.folder.exists(), "the visitor's folder to go", deadline_s=10)
    wait_for(lambda: not app.state.clients, "the visitor to be forgotten", deadline_s=10)
    own = ("camera", "frame encoder", "decode web")
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith(own)]
    assert not left
    assert not list(read_events(app.state.shared.store.path))


def coding_of_a_webcam(page: Page) -> str:
    """How the pictures of the visitor's webcam came here, once a face was found in them."""
    page.get_by_role("button", name="Start my webcam").click()
    consent(page)
    expect(page.locator(".tile .person b").first).to_have_text("Face 1")
    return str(page.evaluate("merau.webcam.coding"))


def test_a_browser_without_a_track_of_pictures_sends_those_that_its_video_shows(serve, page):
    app = serve()
    page.add_init_script("delete window.MediaStreamTrackProcessor")
    page.goto(app.address)
    assert coding_of_a_webcam(page) == "h264"


def test_without_webcodecs_pictures_come_as_jpeg(serve, page):
    app = serve()
    page.goto(app.address)
    expect(page.get_by_role("button", name="Start my webcam")).to_be_visible()
    page.evaluate("merau.noWebCodecs = true")
    assert coding_of_a_webcam(page) == "jpeg"


def test_without_a_socket_a_webcam_is_analysed_at_a_low_rate(serve, page):
    app = serve()
    page.add_init_script("delete window.WebSocket")
    page.goto(app.address)
    page.get_by_role("button", name="Start my webcam").click()
    consent(page)
    expect(page.locator("#fallback")).to_contain_text("short micro-expressions are missed")
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_role("button", name="capture photo").click()  # Gradio's button that starts the stream
    expect(page.locator("#fallback-status")).to_contain_text("Face 1")
    expect(page.locator(".notice")).to_have_text("Camera on: faces in view are analysed")
    expect(page.locator(".tile .status")).to_contain_text("frames/s captured")
    expect(page.get_by_text("No camera yet")).to_be_hidden()
    workspace = next(iter(app.state.clients.values())).workspace
    page.close()
    wait_for(lambda: not (app.state.clients or workspace.cameras), "the visitor and the camera to go", deadline_s=20)


def test_a_recording_is_analysed_reviewed_taught_and_exported(serve, page, clip, tmp_path):
    (recordings := tmp_path / "recordings").mkdir()
    demo_start(recordings / "short.mp4", 1.0)
    app = serve(recordings=recordings)
    page.goto(app.address)
    page.get_by_role("tab", name="Review").click()
    page.get_by_label("Recording from folder").click()
    page.get_by_role("option", name="short.mp4").click()
    expect(page.get_by_label("Session")).to_have_value(re.compile(r"short\.mp4"))
    choose(page, "Analyse a recording", clip)
    page.locator(".review tbody tr").first.wait_for()
    client = next(iter(app.state.clients.values()))
    assert not list(client.folder.glob("*.mp4"))  # the upload itself is not kept
    wait_for(lambda: page.locator(".detail video").count(), "a film")
    page.wait_for_function("document.querySelector('.detail video').videoWidth > 0")
    page.wait_for_function("[...document.querySelectorAll('.pictures img')].every((image) => image.naturalWidth > 0)")
    assert page.locator(".lane path.motion").first.get_attribute("d").count("L") > 100

    page.locator(".review td").first.click()
    rows = page.locator(".review tbody tr")
    page.keyboard.press("j")  # next
    expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("k")  # previous
    expect(rows.first).to_have_attribute("aria-selected", "true")
    page.wait_for_function("!document.querySelector('.detail video').paused")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.detail video').paused")
    page.keyboard.press("r")  # another name
    expect(page.get_by_label("Other label")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("a")  # right
    wait_for(lambda: len(names(page)) == 1, "the first word")
    page.keyboard.press("x")  # no expression
    wait_for(lambda: "no expression" in names(page), "the second word")
    page.keyboard.press("u")  # undo
    wait_for(lambda: len(names(page)) == 1, "the word to be taken back")
    page.get_by_label("Other label").fill("smirk")
    page.get_by_label("Other label").press("Enter")
    wait_for(lambda: "smirk" in names(page), "my own class")
    labels = read_labels(client.workspace.store.path)
    assert {label.label for label in labels} == set(names(page))
    assert all(label.embedding for label in labels)

    page.get_by_role("button", name="Teach your classes").click()
    expect(page.locator("#teach-panel [role=status]")).to_contain_text("smirk")
    assert set(client.workspace.teaching.heads[-1].classes) == set(names(page))
    expect(page.locator(".review p.reclassified").first).to_contain_text("Your classes are in use")
    taught = {event.label for event in read_events(client.workspace.store.path) if event.label}
    assert taught <= set(names(page))
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save your classes").click()
    head = tmp_path / "head.safetensors"
    saved.value.save_as(head)
    page.get_by_role("button", name="Undo teaching").click()
    expect(page.locator("#teach-panel [role=status]")).to_contain_text("built-in classes")
    expect(page.locator(".review .reclassified")).to_have_count(0)
    choose(page, "Load saved classes", head)
    expect(page.locator("#teach-panel [role=status]")).to_contain_text("smirk")

    events = list(read_events(client.workspace.store.path))
    for form in FORMATS:
        with page.expect_download() as download:
            page.get_by_role("link", name=form.upper(), exact=True).click()
        data = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename.endswith(f".{form}")
        assert len(data) > 100
        if form == "csv":
            assert len(list(csv.DictReader(io.StringIO(data.decode())))) == len(events)
    page.get_by_label("blur faces").check()
    with page.expect_download() as download:
        page.get_by_role("link", name="Clips (ZIP)").click()
    films = zipfile.ZipFile(download.value.path()).namelist()
    assert films
    assert download.value.suggested_filename.endswith("blurred.zip")

    page.get_by_role("tab", name="About & data").click()
    page.get_by_label("I am sure").check()
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_label("I am sure")).not_to_be_checked()  # the page's word that all is gone
    assert not read_sessions(client.workspace.store.path)
    assert not read_labels(client.workspace.store.path)
    assert not client.workspace.teaching.heads


def test_german_page_shows_errors_in_german(serve, browser, tmp_path):
    address = "rtsp://127.0.0.1:9/cam"
    app = serve(address, purpose="Test", upload_mb=1)
    page = browser.new_page(locale="de-DE")
    page.goto(app.address)
    expect(page.locator(".tile .overlay")).to_contain_text(f"{address} lehnt die Verbindung ab")
    page.get_by_role("tab", name="Auswertung").click()
    files = {name: tmp_path / name for name in ("brief.txt", "lang.mp4", "brief.mp4", "lektion.safetensors")}
    for name, path in files.items():
        path.write_bytes(b"no film" * (300_000 if name == "lang.mp4" else 9))
    for button, name, box, text in (
        ("Aufnahme analysieren", "brief.txt", ".alert", r"^brief\.txt hat den falschen Dateityp\. Erlaubt sind: \.mp4"),
        ("Aufnahme analysieren", "lang.mp4", ".alert", r"^lang\.mp4 ist zu groß"),
        (
            "Aufnahme analysieren",
            "brief.mp4",
            ".toast-message-text",
            r"^„brief\.mp4“ ist kein Video, oder es ist beschädigt\.$",
        ),
        ("Gespeicherte Klassen laden", "lektion.safetensors", ".toast-message-text", r"^lektion\.safetensors enthält"),
    ):
        choose(page, button, files[name])
        expect(page.locator(box).last).to_have_text(re.compile(text))
    page.get_by_role("tab", name="Info & Daten").click()
    expect(page.locator("#facts")).to_contain_text("100.000 Beispiele")
    expect(page.locator("#facts")).not_to_contain_text(re.compile("samples|accuracy|kept out|Running"))
    app.state.clients.clear()
    for tab in ("Auswertung", "Info & Daten"):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(".toast-message-text").last).to_have_text(re.compile("^Diese Seite ist abgelaufen"))
    page.close()


@pytest.mark.parametrize(
    ("width", "scheme", "locale", "words", "sure"),
    [
        (390, "dark", "de-DE", "Auswertung", "Bitte bestätigen Sie zuerst"),
        (1280, "light", "en-GB", "Review", "Please confirm first"),
    ],
)
def test_nothing_sticks_out_on_a_phone_or_in_the_dark(showing, browser, width, scheme, locale, words, sure):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, locale=locale)
    page.goto(showing.address)
    expect(page.locator(".tile .person").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("tab", name=words).click()
    page.locator(".review tbody tr").first.click()
    expect(page.locator(".detail h2")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unlabelled = """() => [...document.querySelectorAll("button, input, select, textarea")].filter((control) =>
        control.offsetParent && !control.innerText && !control.labels?.length && !control.getAttribute("aria-label")
        && !control.getAttribute("title")).map((control) => control.outerHTML.slice(0, 120))"""
    assert page.evaluate(unlabelled) == []
    page.get_by_role("tab").nth(2).click()
    page.locator("#delete").click()
    expect(page.locator(".toast-message-text")).to_contain_text(sure)
    page.close()
