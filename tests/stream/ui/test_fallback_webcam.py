"""A webcam in a browser without WebSocket."""

import base64
import io

import gradio as gr
import pytest
from gradio.data_classes import ImageData
from PIL import Image
from playwright.sync_api import expect

from merau.stream.ui.fallback_webcam import read_picture
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


def data_url(picture: Image.Image, form: str) -> ImageData:
    picture.save(file := io.BytesIO(), form)
    return ImageData(url=f"data:image/{form};base64,{base64.b64encode(file.getvalue()).decode()}")


def test_picture_is_measured_before_it_is_decoded():
    assert read_picture(None) is None
    for form in ("jpeg", "png", "webp"):
        assert read_picture(data_url(Image.new("RGB", (64, 48), "teal"), form)).shape == (48, 64, 3)
    with pytest.raises(gr.Error, match="3000 x 3000 pixels"):
        read_picture(data_url(Image.new("1", (3000, 3000)), "png"))
    bomb = data_url(Image.new("1", (20_000, 20_000)), "png")
    for payload in (
        bomb,
        ImageData(url="data:image/png;base64,AAAA"),
        ImageData(path="/etc/passwd"),
        ImageData(url="x,%"),
    ):
        with pytest.raises(gr.Error, match="not an image"):
            read_picture(payload)
