"""A webcam in a browser without WebSocket."""

from playwright.sync_api import expect

from tests.stream.ui.page_actions import consent
from tests.stream.ui.waiting import wait_for


def test_webcam_without_socket_is_analysed_at_a_low_rate(serve, page):
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
