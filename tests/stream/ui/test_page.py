"""All pages in a real browser: languages, errors and layout."""

import re

import pytest
from playwright.sync_api import expect

from tests.stream.ui.page_actions import choose


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
            r"^„brief\.mp4“ ist kein Video in einem Format, das merau liest, oder es ist beschädigt\.$",
        ),
        ("Gespeicherte Klassen laden", "lektion.safetensors", ".toast-message-text", r"^lektion\.safetensors enthält"),
    ):
        choose(page, button, files[name])
        expect(page.locator(box).last).to_have_text(re.compile(text))
    page.get_by_role("tab", name="Info & Daten").click()
    expect(page.locator("#facts")).to_contain_text("56.000 Beispiele")
    expect(page.locator("#facts")).not_to_contain_text(re.compile("samples|accuracy|kept out|Running"))
    app.state.clients.clear()
    for tab in ("Auswertung", "Info & Daten"):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(".toast-message-text").last).to_have_text(re.compile("^Diese Seite ist abgelaufen"))
    page.close()


@pytest.mark.parametrize(
    ("width", "scheme", "locale", "review", "sure"),
    [
        (390, "dark", "de-DE", "Auswertung", "Bitte bestätigen Sie zuerst"),
        (1280, "light", "en-GB", "Review", "Please confirm first"),
    ],
)
def test_layout_fits_a_phone_and_labels_every_control(showing, browser, width, scheme, locale, review, sure):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, locale=locale)
    page.goto(showing.address)
    expect(page.locator(".tile .person").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("tab", name=review).click()
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


def test_name_in_an_error_loads_and_formats_nothing(showing, page):
    name = "<img src=loaded.png><b>x</b> ![x](loaded.png) **x** &lt;.mp4"
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(showing.address)
    page.get_by_label("Camera or video file").fill(name)
    page.get_by_role("button", name="Add", exact=True).click()
    text = page.get_by_test_id("toast-text")
    expect(text).to_have_text(f"There is no file '{name}'.")
    assert text.locator("*").count() == 0
    assert not [url for url in requests if "loaded.png" in url]


def test_reloaded_page_keeps_its_private_session(serve, page):
    app = serve(host="0.0.0.0")
    page.goto(app.address.replace("0.0.0.0", "localhost"))
    page.wait_for_function("window.merau?.token")
    token = page.evaluate("merau.token")
    page.reload()
    page.wait_for_function("window.merau?.token")
    assert page.evaluate("merau.token") == token
    assert list(app.state.clients) == [token]
