import json
import shutil

import pandas
import pytest
from playwright.sync_api import expect, sync_playwright

from merau.stream.cli import main
from merau.stream.demo import CLIP
from merau.stream.store import Store
from tests.stream.study.conftest import add_session, make_event

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def folder(tmp_path):
    """Events of the machine in two recordings, one of which is there, and what Ann says of them."""
    shutil.copy(CLIP, tmp_path / "talk <b>.mp4")
    with Store(tmp_path / "merau.db") as store:
        for name in ("talk <b>.mp4", "walk.mp4"):
            events = [make_event(i, "micro", 3 + 2 * i, 0.4) for i in range(3)]
            add_session(store, str(tmp_path / name), events, end_s=28)
    rows = ["recording,kind,class,onset_s,offset_s"]
    rows += ["talk <b>.mp4,micro,positive,3.0,3.4", "talk <b>.mp4,micro,negative,5.1,5.4"]
    rows += ["walk.mp4,micro,positive,3.0,3.4", "walk.mp4,micro,positive,7.02,7.42", "walk.mp4,micro,,20,20.3"]
    (tmp_path / "Ann.csv").write_text("\n".join(rows))
    return tmp_path


def test_agree_prints_and_writes_figures(folder, capsys):
    command = ["agree", str(folder), str(folder / "Ann.csv"), "--out", str(folder / "out")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert [line.split()[:4] for line in printed.splitlines()[:2]] == [
        ["machine", "Ann", "both", "precision"],
        ["micro", "6", "5", "4"],
    ]
    table = pandas.read_csv(folder / "out/agreement.csv")
    f1 = table[(table["what"] == "kind") & (table["score"] == "f1")]
    assert f1["value"].tolist() == [pytest.approx(8 / 11, abs=1e-4)]
    assert len(pandas.read_csv(folder / "out/agreement.disagreements.csv")) == 4
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["recordings"] == 2
    assert document["pairs"][0]["differences"][0]["edge"] == "onset"


def test_page_leads_through_the_disagreements(folder):
    assert main(["agree", str(folder), str(folder / "Ann.csv"), "--out", str(folder / "out")]) == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(error))  # a method of a list cannot be marked by playwright
        page.goto((folder / "out/agreement.html").as_uri())
        expect(page.locator("#title")).to_have_text("talk <b>.mp4, 0:05.000: positive or negative")
        page.wait_for_function("document.getElementById('film').currentTime > 3")  # 1.5 s before
        page.keyboard.press("j")
        expect(page.locator("#title")).to_contain_text("0:07.000: only machine")
        page.get_by_role("button", name="only Ann").click()
        expect(page.locator("#title")).to_contain_text("walk.mp4, 0:20.000: only Ann")
        expect(page.locator("#missing")).to_be_visible()
        expect(page.locator("#lines i")).to_have_count(1)
        browser.close()
    assert errors == []
