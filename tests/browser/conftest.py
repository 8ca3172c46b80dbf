"""One service for every browser of a pytest worker, and one Chromium a module."""

from collections.abc import Callable, Generator

import pytest
from playwright.sync_api import Browser

from tests.browser.browsing import Site, Visitor, chromium, mail_folder
from tests.browser.clerks import Office
from tests.browser.gallery import Gallery, furnish
from tests.embedded import RunningCluster, clone_database
from tests.processes.conftest import serving
from tests.processes.money import Shop, open_shop

SITE = pytest.StashKey[Site]()


@pytest.fixture(scope="session")
def shared_site(running_cluster: RunningCluster) -> Generator[Shop, None, None]:
    with clone_database(running_cluster) as url, serving(url) as service:
        service.web_workers = 1
        service.settings |= {
            "STRIPE_WEBHOOK_SECRET": "whsec_between_the_two",
            "EMAIL_URL": f"filemail:///{mail_folder(service.folder)}",
            "AGENT_STEP_SECONDS": "0.05",
        }
        with open_shop(service) as shop:
            yield shop
            service.check_billing()
            assert shop.stand_in.violations() == []


@pytest.fixture(scope="module")
def browser() -> Generator[Browser, None, None]:
    """Ended with the module: while Playwright runs, the ORM of this thread does not."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def gallery(shared_site: Shop, browser: Browser) -> Generator[Gallery, None, None]:
    site = Site(shared_site, browser)
    yield furnish(site)
    site.leave()


@pytest.fixture(scope="module")
def shared_office(shared_site: Shop, browser: Browser) -> Generator[Office, None, None]:
    site = Site(shared_site, browser)
    yield Office(site)
    site.leave()


@pytest.fixture
def office(shared_office: Office, request: pytest.FixtureRequest) -> Office:
    """Whose staff work here all day; each test has customers of its own."""
    request.node.stash[SITE] = shared_office.site
    return shared_office


@pytest.fixture
def site(shared_site: Shop, browser: Browser, request: pytest.FixtureRequest) -> Generator[Site, None, None]:
    site = request.node.stash[SITE] = Site(shared_site, browser)
    yield site
    site.leave()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed says what each of its visitors was looking at."""
    report = yield
    if report.failed and report.when == "call" and (site := item.stash.get(SITE, None)):
        report.sections += [(f"what {visitor.email} sees", visitor.sees()) for visitor in site.visitors]
    return report


@pytest.fixture
def visit(site: Site) -> Callable[..., Visitor]:
    return site.visit
