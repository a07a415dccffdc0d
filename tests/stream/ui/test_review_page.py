"""The review page in a real browser."""

import csv
import io
import re
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

from playwright.sync_api import expect

from merau.stream.export import FORMATS
from merau.stream.store import read_events, read_labels, read_sessions
from merau.stream.ui.server_state import KEPT
from tests.clips import demo_start
from tests.stream.ui.page_actions import choose, shown_labels
from tests.stream.ui.waiting import wait_for


def open_interview(page):
    """Load the page again and choose the recording."""
    page.reload()
    page.wait_for_function("window.merau?.token")
    page.get_by_role("tab", name="Review").click()
    expect(page.get_by_label("Session")).not_to_have_value("")
    page.get_by_label("Session").click()
    page.get_by_role("option", name=re.compile(r"interview\.mp4")).click()


def test_recording_is_analysed_labelled_taught_and_exported(serve, page, clip, tmp_path):
    (recordings := tmp_path / "recordings").mkdir()
    demo_start(recordings / "short.mp4", 1.0)
    app = serve(recordings=recordings)
    page.goto(app.address)
    page.wait_for_function("window.merau?.token")
    page.get_by_role("tab", name="Review").click()
    page.get_by_label("Recording from folder").click()
    page.get_by_role("option", name="short.mp4").click()
    expect(page.get_by_label("Session")).to_have_value(re.compile(r"short\.mp4"))
    page.wait_for_function("document.querySelector('.timeline figure img')?.naturalWidth > 0")
    choose(page, "Analyse a recording", clip)
    page.locator(".review tbody tr").first.wait_for()
    client, shared = next(iter(app.state.clients.values())), app.state.shared
    assert [session.source for session in read_sessions(shared.store.path)] == ["short.mp4", "interview.mp4"]
    assert not list(client.folder.glob("*.mp4"))
    (upload,) = (app.state.folder / KEPT).iterdir()  # as long as its session, so that it can be scrubbed
    page.wait_for_function("document.querySelector('.timeline figure img')?.naturalWidth > 0")
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
    wait_for(lambda: len(shown_labels(page)) == 1, "the first label")
    page.keyboard.press("x")  # no expression
    wait_for(lambda: "no expression" in shown_labels(page), "the second label")
    page.keyboard.press("u")  # undo
    wait_for(lambda: len(shown_labels(page)) == 1, "the label to be undone")
    page.get_by_label("Other label").fill("smirk")
    page.get_by_label("Other label").press("Enter")
    wait_for(lambda: "smirk" in shown_labels(page), "my own class")
    labels = read_labels(shared.store.path)
    assert {label.label for label in labels} == set(shown_labels(page))
    assert all(label.embedding for label in labels)

    open_interview(page)
    wait_for(lambda: "smirk" in shown_labels(page), "the labels after a reload")
    page.get_by_role("button", name="Teach your classes").click()
    expect(page.locator("#teach-panel .proposal")).to_contain_text("events change")
    assert not shared.teaching.heads  # nothing is in use before somebody keeps it
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("#teach-panel .proposal")).to_have_count(0)
    page.get_by_role("button", name="Teach your classes").click()
    expect(page.locator("#teach-panel .proposal")).to_contain_text("events change")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#teach-panel [role=status]")).to_contain_text("smirk")
    assert set(shared.teaching.heads[-1].classes) == set(shown_labels(page))
    expect(page.locator(".review p.reclassified").first).to_contain_text("Your classes are in use")
    taught = {event.label for event in read_events(shared.store.path) if event.label}
    assert taught <= set(shown_labels(page))
    with closing(sqlite3.connect(shared.store.path)) as store, store:  # other probabilities, the same classes
        store.execute(
            "UPDATE reclassifications SET (label, uncertain) = (SELECT label, uncertain FROM events "
            "WHERE session = reclassifications.session AND id = reclassifications.event)"
        )
    open_interview(page)
    expect(page.locator(".review p.reclassified")).to_have_text("Your classes are in use; no event changed its class.")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save your classes").click()
    head = tmp_path / "head.safetensors"
    saved.value.save_as(head)
    page.get_by_role("button", name="Undo teaching").click()
    expect(page.locator("#teach-panel [role=status]")).to_contain_text("built-in classes")
    expect(page.locator(".review .reclassified")).to_have_count(0)
    choose(page, "Load saved classes", head)
    expect(page.locator("#teach-panel [role=status]")).to_contain_text("smirk")

    events = list(read_events(shared.store.path))
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
    expect(page.get_by_label("I am sure")).not_to_be_checked()  # the page confirms the deletion
    assert not upload.exists()
    assert not read_sessions(shared.store.path)
    assert not read_labels(shared.store.path)
    assert not shared.teaching.heads
