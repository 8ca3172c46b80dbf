"""`make screenshots`: pictures of every page, narrow and wide, light and dark.

By its name no test, so that no other run takes them.

PICTURES="home plan" takes those whose names begin so.
"""

import os

from tests.browser.browsing import NARROW, WIDE
from tests.browser.gallery import VIEWS, Gallery
from tests.environment import ROOT

FOLDER = ROOT / ".data" / "screenshots"


def test_pictures(gallery: Gallery) -> None:
    wanted = tuple(os.environ.get("PICTURES", "").split())
    for view in [view for view in VIEWS if not wanted or view.name.startswith(wanted)]:
        for scheme in ("light", "dark"):
            for size in (WIDE, NARROW):
                visitor = gallery.visit(view.who, color_scheme=scheme, size=size, reduced_motion="reduce")
                gallery.show(visitor, view)
                picture = FOLDER / f"{view.name}-{size[0]}-{scheme}.png"
                visitor.page.screenshot(path=picture, full_page=not view.opens)
                visitor.context.close()
        print(f"{FOLDER.relative_to(ROOT)}/{view.name}-*.png", flush=True)
