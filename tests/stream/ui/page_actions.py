"""What tests do on the page in a browser."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

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


def shown_labels(page: Page) -> list[str]:
    """The labels in the table of events."""
    return [cell.removeprefix("✓ ") for cell in page.locator(".review td.user-label").all_inner_texts() if cell]


def log_in(page: Page, password: str) -> None:
    page.get_by_label("User").fill("anna")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def start_webcam(page: Page) -> str:
    """Start the webcam and wait for a face; returns the coding of its frames."""
    page.get_by_role("button", name="Start my webcam").click()
    consent(page)
    expect(page.locator(".tile .person b").first).to_have_text("Face 1")
    return str(page.evaluate("merau.webcam.coding"))
