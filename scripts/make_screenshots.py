"""Takes the pictures of the documentation: the live page, the review page, a phone and the demo's report.

    python scripts/make_screenshots.py                 # into docs/; look at them before you commit them

Needs playwright (pip install -e '.[dev]') and Debian's chromium (scripts/debian_packages.sh).
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from merau.engine.recognizer import Recognizer
from merau.stream.commands.demo import CLIP
from merau.stream.ui.config import UiSettings
from merau.stream.ui.server import App

ROOT = Path(__file__).parents[1]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
EVENTS = 6  # in the list of the live page when its picture is taken
END_S = 25.0  # the clip has ended by then


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder for the pictures (default: docs)")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        take_page(browser, Path(temporary) / "page.db", folder)
        take_report(browser, Path(temporary), folder)
        browser.close()
    return 0


def take_page(browser: Browser, store: Path, folder: Path) -> None:
    """Take the live page while the demo clip plays, and the review page after its end."""
    app = App([str(CLIP)], Recognizer.load, UiSettings(port=0), store=store)
    try:
        desktop = browser.new_page(viewport=DESKTOP, locale="en-GB", color_scheme="light")
        phone = browser.new_page(viewport=PHONE, locale="de-DE", color_scheme="dark", device_scale_factor=2)
        for page in (desktop, phone):
            page.goto(app.address)
            page.locator(".tile canvas").first.wait_for()
        desktop.locator(".tile input[type=checkbox]").first.check()  # the mesh
        desktop.locator(".tile li").nth(EVENTS - 1).wait_for(timeout=60_000)
        save(desktop, folder / "page-live.png", full_page=True)
        save(phone, folder / "page-phone.png")
        desktop.wait_for_timeout(1000 * END_S)
        desktop.get_by_role("tab").nth(1).click()
        row = desktop.locator(".review tbody tr").nth(3)
        row.click()
        desktop.keyboard.press("a")  # confirms the suggested label
        row.click()
        desktop.wait_for_timeout(3000)
        save(desktop, folder / "page-review.png", full_page=True)
    finally:
        app.close()


def take_report(browser: Browser, temporary: Path, folder: Path) -> None:
    """Take the upper part of the report that `merau demo` writes."""
    command = [sys.executable, "-m", "merau.stream.cli", "demo", "--no-ui", "--json", "--out", str(temporary / "demo")]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    page = browser.new_page(viewport={"width": 1280, "height": 1085}, locale="en-GB", color_scheme="light")
    page.goto((temporary / "demo" / "demo.html").as_uri())
    save(page, folder / "report.png")


def save(page: Page, path: Path, *, full_page: bool = False) -> None:
    """Write what the page shows as a PNG of 256 colours, a third of the size."""
    picture = Image.open(io.BytesIO(page.screenshot(full_page=full_page))).convert("RGB")
    picture.quantize(256, kmeans=2).save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    sys.exit(main())
