"""axe-core finds nothing to complain about, in both themes and at both sizes."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.stream.ui.page_actions import open_review

RULES = {"runOnly": ["wcag2a", "wcag2aa"]}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_page_has_a_finding(showing, browser: Browser, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 800}, locale="en-GB", color_scheme=scheme)
    page.set_default_timeout(60_000)
    page.goto(showing.address)
    page.locator(".tile li").first.wait_for()
    found = {"Live": Axe().run(page, options=RULES)}
    open_review(page)
    page.locator(".review td").first.click()
    found["Review"] = Axe().run(page, options=RULES)
    page.get_by_role("tab", name="About & data").click()
    page.locator(".facts").first.wait_for()
    found["About & data"] = Axe().run(page, options=RULES)
    page.close()
    assert {name: results.generate_report() for name, results in found.items() if results.violations_count} == {}
