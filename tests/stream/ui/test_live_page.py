"""The live page in a real browser."""

import threading

from playwright.sync_api import expect

from merau.stream.events import event_fields
from merau.stream.store import read_events, read_sessions
from merau.stream.ui.config import Login
from scripts.support.rtsp_server import RtspServer
from tests.stream.sources.support import write_clip
from tests.stream.ui.page_actions import DARK, LIT, consent, log_in, start_webcam
from tests.stream.ui.waiting import wait_for


def test_live_view_shows_frames_faces_and_events(showing, page):
    page.goto(showing.address)
    tile = page.locator(".tile")
    expect(tile.locator("h2")).to_have_text("interview.mp4")
    wait_for(lambda: page.evaluate(LIT) > 20, "an image")
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


def test_cameras_are_added_and_removed_behind_a_login(serve, page, clip):
    app = serve(login=Login("anna", "geheim"))
    page.goto(app.address)
    log_in(page, "wrong")
    expect(page.get_by_text("Wrong user or password")).to_be_visible()
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
            expect(page.locator(".notice")).to_have_text("Connection to the camera lost: nothing is analysed")
    assert "secret" not in page.content()
    for left in (1, 0):
        page.get_by_role("button", name="Remove this camera").first.click()
        expect(page.locator(".tile")).to_have_count(left)
    assert not app.state.shared.cameras
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("password")).to_be_visible()


def test_webcam_is_analysed_after_consent_and_then_deleted(serve, page):
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


def test_webcam_without_track_processor_sends_h264(serve, page):
    app = serve()
    page.add_init_script("delete window.MediaStreamTrackProcessor")
    page.goto(app.address)
    assert start_webcam(page) == "h264"


def test_webcam_without_webcodecs_sends_jpeg(serve, page):
    app = serve()
    page.goto(app.address)
    expect(page.get_by_role("button", name="Start my webcam")).to_be_visible()
    page.evaluate("merau.noWebCodecs = true")
    assert start_webcam(page) == "jpeg"


def test_several_cameras_stand_in_a_grid_with_one_feed(serve, page, tmp_path, make_event):
    names = ("door.mp4", "hall.mp4", "yard.mp4")
    app = serve(*(write_clip(tmp_path / name) for name in names))
    page.goto(app.address)
    expect(page.locator(".tiles.grid .tile h2")).to_have_text(list(names))
    expect(page.locator(".tile .side").first).to_be_hidden()
    for number, camera in enumerate(app.state.shared.cameras.values()):
        wall = f"2026-03-02T09:00:0{9 - number}.000+00:00"
        fields = event_fields(make_event(id=f"1-{number}", onset_wall=wall))
        for _ in range(2):  # provisional and final
            app.state.shared.broadcast.send_message({"event": fields, "camera": camera.number, "session": 1})
    expect(page.locator(".feed li b")).to_have_text(list(names))  # the newest first, each once
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Details").nth(1).click()
    expect(page.locator(".tile .side").nth(1)).to_be_visible()
    expect(page.locator(".feed")).to_be_hidden()
    page.reload()
    expect(page.get_by_role("button", name="Grid of cameras")).to_have_attribute("aria-pressed", "false")
