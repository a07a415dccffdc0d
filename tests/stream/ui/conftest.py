import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from merau.engine.recognizer import Recognizer
from merau.stream.demo import CLIP
from merau.stream.pipeline import PipelineSettings
from merau.stream.ui.config import UiSettings
from merau.stream.ui.server import App
from merau.stream.ui.workspace import SHARED, Workspace
from tests.clips import demo_start

CHROMIUM = shutil.which("chromium") or "chromium (scripts/debian_packages.sh installs it)"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
SCREENSHOTS = Path("out/screenshots")  # of every browser test, for a look afterwards

Serve = Callable[..., App]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's first seconds, its frames untouched: a blink, two micro-expressions and a macro-expression."""
    return demo_start(tmp_path_factory.mktemp("clip") / "interview.mp4", 10.0)


@pytest.fixture(scope="session")
def webcam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The browser's camera: six seconds of the demo, which it repeats."""
    path = tmp_path_factory.mktemp("webcam") / "webcam.y4m"
    with av.open(str(CLIP)) as source, path.open("wb") as out:
        out.write(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n")
        for picture in source.decode(video=0):
            if picture.time > 6:
                break
            out.write(b"FRAME\n" + picture.reformat(format="yuv420p").to_ndarray().tobytes())
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """The shared workspace of a server, without the server."""
    with ThreadPoolExecutor(1) as clip_encoder:
        workspace = Workspace(SHARED, tmp_path / "store.db", Recognizer.load, PipelineSettings(), clip_encoder)
        yield workspace
        workspace.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Pages served on a free port, closed at the end of the test."""
    cv2.setNumThreads(1)
    apps: list[App] = []

    def start(*sources: str | Path, **settings: Any) -> App:
        store = tmp_path / f"page{len(apps)}.db"
        named = [str(source) for source in sources]
        apps.append(App(named, Recognizer.load, UiSettings(**({"port": 0} | settings)), store=store))
        return apps[-1]

    yield start
    for app in apps:
        app.close()


@pytest.fixture(scope="session")
def showing(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[App]:
    """One page that plays the clip, for tests that change nothing."""
    store = tmp_path_factory.mktemp("showing") / "page.db"
    app = App([str(clip)], Recognizer.load, UiSettings(port=0), store=store)
    yield app
    app.close()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=60_000)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright, webcam: Path) -> Iterator[Browser]:
    """Debian's Chromium with a camera that shows the demo."""
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={webcam}"]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty tab that fails the test when a script of the page fails."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB", accept_downloads=True)
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    if not page.is_closed():
        page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png", full_page=True)
        page.close()
    assert not errors
