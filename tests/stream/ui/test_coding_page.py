"""A person corrects what `merau analyse` stored, in a real browser."""

import hashlib

import pytest
from playwright.sync_api import Page, expect

from merau.stream.store import Store, read_codings
from tests.stream.ui.page_actions import open_review
from tests.stream.ui.waiting import wait_for

FRAME_S = 1 / 30
LEAVES = """() => {
    const event = new Event("beforeunload", { cancelable: true });
    dispatchEvent(event);
    return event.defaultPrevented; // then the browser asks
}"""


@pytest.fixture
def coded(serve, clip, tmp_path, make_event):
    """A page on a store that another command made: two events of a recording, without clips or pictures."""
    path = tmp_path / "page0.db"  # which `serve` opens
    with Store(path) as store:
        content = hashlib.sha256(clip.read_bytes()).hexdigest()
        settings = {"settings": {}, "bundle": "default", "bundle_sha256": "ab"}
        session = store.start_session(str(clip), **settings, content_sha256=content)
        for n, apex_s in enumerate((3.4, 5.5)):
            store.put(session, make_event(apex_s, id=f"1-{n}", source=str(clip)))
        store.update_session(session, wall_zero=None, frames=301, dropped=0, gaps=[], ended=True, end_s=10.0)
    return serve()


def current(app, coder) -> dict:
    return {coding.event: coding for coding in read_codings(app.state.shared.store.path, 1, coder)}


def drag(page: Page, name: str, seconds: float) -> None:
    """Drag the handle of a time along the timeline, which is as wide as the session is long."""
    handle = page.locator(f'.handle[data-handle="{name}"]')
    box, lane = handle.bounding_box(), page.locator(".lane").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + seconds / 10.0 * lane["width"], y, steps=4)
    page.mouse.up()


def test_person_corrects_adds_and_rejects_events(coded, page):
    page.goto(coded.address)
    open_review(page)
    page.wait_for_function("document.querySelector('.detail video').videoWidth > 0")  # cut from the recording
    page.wait_for_function("[...document.querySelectorAll('.pictures img')].every((image) => image.naturalWidth > 0)")
    page.wait_for_function("document.querySelector('.viewer figure img').naturalWidth > 0")
    page.get_by_label("Coder").fill("anna")
    page.get_by_label("Coder").press("Enter")
    page.locator(".timeline .at").click()  # out of the field

    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    wait_for(lambda: current(coded, "anna"), "the first coding")
    assert current(coded, "anna")["1-0"].offset_s == pytest.approx(3.6 + 2 * FRAME_S, abs=1e-3)
    expect(page.locator(".label-form > .user-label")).to_have_count(1)  # the page shows it, and is not drawn again
    drag(page, "onset_s", -0.5)
    page.get_by_label("Action Units").fill("6+12")
    page.get_by_label("Note").fill("left side")
    page.get_by_role("button", name="Save changes").click()
    wait_for(lambda: current(coded, "anna")["1-0"].note, "the second coding")
    coding = current(coded, "anna")["1-0"]
    assert coding.onset_s == pytest.approx(2.74, abs=0.05)
    assert (coding.aus, coding.offset_s, coding.label) == (("6", "12"), pytest.approx(3.6667, abs=1e-3), None)

    page.locator(".timeline .at").click()
    page.keyboard.press("a")
    wait_for(lambda: current(coded, "anna")["1-0"].label, "the class")
    expect(page.locator(".review tbody tr").nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("f")
    expect(page.locator(".review td.user-label").nth(1)).to_have_text("✗ false event")
    lane = page.locator(".lane").bounding_box()
    page.mouse.click(lane["x"] + 0.8 * lane["width"], lane["y"] + 60)
    page.keyboard.press("n")
    expect(page.locator(".review td.user-label").nth(2)).to_have_text("+ micro-expression")
    (missed,) = (found for found in current(coded, "anna").values() if found.is_missed)
    assert missed.apex_s == pytest.approx(8.0, abs=0.05)

    page.get_by_label("Coder").fill("ben")
    page.get_by_label("Coder").press("Enter")
    page.locator(".review td").first.click()
    page.keyboard.press("x")
    wait_for(lambda: "1-0" in current(coded, "ben"), "the coding of another person")
    assert current(coded, "anna")["1-0"].label == "positive"
    page.locator(".review td").first.click()
    expect(page.locator(".label-form > .user-label")).to_have_count(2)
    page.keyboard.press("u")
    wait_for(lambda: not current(coded, "ben"), "the undo")
    page.get_by_text("History of codings").click()
    expect(page.locator(".history li").first).to_contain_text("↶ ben: no expression")

    assert not page.evaluate(LEAVES)
    page.get_by_label("Note").fill("not saved")
    assert page.evaluate(LEAVES)
