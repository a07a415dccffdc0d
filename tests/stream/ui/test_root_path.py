"""The page below a path of a name that it shares with other sites."""

from urllib.request import Request

import pytest
from playwright.sync_api import Page, expect

from merau.engine.errors import UserError
from merau.stream.ui.config import Login, UiSettings
from tests.stream.ui.connections import opener, status
from tests.stream.ui.page_actions import choose


def test_page_below_a_path_works_whole(serve, page: Page, clip, tmp_path):
    app = serve(clip, root_path="/sites/faces", login=Login("anna", "geheim"), purpose="Test")
    assert app.address.endswith("/sites/faces/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws", "http", 1)))
    page.goto(app.address.rstrip("/"))  # as people type it
    page.get_by_label("User").fill("anna")
    page.get_by_label("Password").fill("geheim")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".tile .status")).to_contain_text("frames")
    (cookie,) = page.context.cookies()
    assert cookie["path"] == "/sites/faces/"
    page.get_by_role("tab", name="Review").click()
    (tmp_path / "film.mp4").write_bytes(b"no film" * 9)
    choose(page, "Analyse a recording", tmp_path / "film.mp4")
    expect(page.locator(".toast-message-text")).to_contain_text("film.mp4")  # it arrived
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    assert [url for url in asked if not url.startswith((app.address.rstrip("/"), "data:", "blob:"))] == []
    assert any("/merau/live?" in url for url in asked)


def test_nothing_lies_beside_the_path(serve):
    app = serve(root_path="/faces", trusted_proxies=("127.0.0.1",), login=Login("anna", "geheim"))
    outside = app.address.removesuffix("/faces/")
    assert [status(opener(), f"{outside}{path}") for path in ("/", "/facesx/", "/merau/live", "/login")] == [404] * 4
    form = Request(f"{app.address}login", b"username=anna&password=geheim", {"X-Forwarded-Proto": "https"})
    with opener().open(form, timeout=20) as answer:
        cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Secure-merau-")
    assert "Path=/faces/" in cookie


@pytest.mark.parametrize("path", ["faces", "/faces/", "/", "/a//b", "/..", "/a?b", "//evil.example"])
def test_path_of_another_form_is_refused(path):
    with pytest.raises(UserError, match="root_path"):
        UiSettings(root_path=path)
