"""The live page of a service, in a real browser."""

from playwright.sync_api import expect

from merau.stream.commands.serve import open_workspace, save_cameras
from merau.stream.service.reading import read_config
from merau.stream.service.supervisor import Supervisor
from scripts.support.rtsp_server import RtspServer
from tests.stream.ui.page_actions import consent

CONFIG = """\
store: {store}
page: {{port: 0}}
cameras:
  - name: Door
    source: rtsp://ann@127.0.0.1:{port}/cam
    password: se:cr@et
"""


def test_page_asks_for_consent_and_saves_cameras(page, clip, tmp_path, caplog):
    file = tmp_path / "cameras.yaml"
    with RtspServer(user="ann", password="se:cr@et") as server:
        file.write_text(CONFIG.format(store=tmp_path / "store.db", port=server.port))
        config = read_config(file)
        caplog.set_level("INFO", "merau")
        with open_workspace(config, lambda: save_cameras(file, workspace)) as (workspace, _):
            supervisor = Supervisor(workspace, config.defaults)
            supervisor.start(config)
            page.goto(next(text.split()[-1].rstrip(".") for text in caplog.messages if "served at" in text))
            door = page.locator(".tile").first
            expect(door.locator("h2")).to_have_text("Door")
            expect(door.locator(".overlay")).to_contain_text("Waiting for purpose and consent.")
            consent(page)
            expect(door.locator(".pill").first).to_have_text("live")
            page.get_by_label("Camera or video file").fill(str(clip))
            page.get_by_role("button", name="Add", exact=True).click()
            expect(page.locator(".tile")).to_have_count(2)
            page.get_by_role("button", name="Save these cameras").click()
            expect(page.locator(".tile")).to_have_count(1)
            supervisor.apply(read_config(file))
            expect(page.locator(".tile")).to_have_count(2)
            assert "cr@et" not in page.content()
            assert "cr%40et" not in page.content()
            supervisor.close()
    assert [camera.source for camera in read_config(file).cameras][1:] == [str(clip)]
