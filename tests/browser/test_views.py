"""What a screen reader, a keyboard, the dark and a narrow window make of every page."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe

from tests.browser.browsing import NARROW
from tests.browser.gallery import VIEWS, Gallery

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}


def test_every_page_is_for_everybody(gallery: Gallery, subtests: Any) -> None:
    """Of the dark only the colours can differ. What is narrow must not be scrolled sideways."""
    axe = Axe()
    visitors = {who: gallery.visit(who, color_scheme="light", reduced_motion="reduce") for who in gallery.states}
    for view in VIEWS:
        with subtests.test(view.name):
            page = visitors[view.who].page
            page.emulate_media(color_scheme="light")
            page.set_viewport_size({"width": 1280, "height": 800})
            gallery.show(visitors[view.who], view)
            found = axe.run(page, options=RULES).response["violations"]
            page.emulate_media(color_scheme="dark")
            found += axe.run(page, options=COLOURS).response["violations"]
            assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
            page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
            assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
