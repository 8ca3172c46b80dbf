"""Where Stripe's pages may lead back to."""

import pytest
from pytest_django import Settings as SettingsWrapper

from accounts import redirects

# A scheme, a host and a port are compared as such, so none of these gets by.
FOREIGN = [
    "",
    "/billing/",
    "billing",
    "//app.example.com/",
    "https:///billing/",
    "https:app.example.com",
    "https://",
    "http://app.example.com/",
    "https://app.example.com:444/",
    "https://app.example.com.evil.example/",
    "https://app.example.comevil.example/",
    "https://evil.example/?https://app.example.com/",
    "https://evil.example/#https://app.example.com/",
    "https://app.example.com@evil.example/",
    "https://user@app.example.com/",
    "https://user:word@app.example.com/",
    "https://evil.example\\@app.example.com/",
    "https://app.example.com\\.evil.example/",
    "https:\\\\app.example.com/",
    "https://app.example.com/\nLocation: https://evil.example/",
    "https://app.example.com/ x",
    "\thttps://app.example.com/",
    "https://app.example.com/\u00a0",
    "https://app.example.com:port/",
    "https://[app.example.com/",
    "javascript:alert(1)",
    "data:text/html,x",
    "ftp://app.example.com/",
    "http://localhost:3001/",
    "https://localhost:3000/",
    "http://127.0.0.1:3000/",
    "https://app.example.com/" + "a" * 2000,
]


@pytest.fixture(autouse=True)
def origins(settings: SettingsWrapper) -> None:
    settings.SITE_URL = "https://app.example.com"
    settings.ALLOWED_REDIRECT_ORIGINS = ["http://localhost:3000", "https://www.example.com:8443"]


@pytest.mark.parametrize("url", FOREIGN)
def test_another_place_is_refused(url: str) -> None:
    with pytest.raises(redirects.NotAllowed, match=r"\w+.*\."):
        redirects.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com",
        "https://APP.example.com:443/billing/?a=b#c",
        "https://app.example.com/thanks?session_id={CHECKOUT_SESSION_ID}",
        "https://www.example.com:8443/",
        "http://localhost:3000/plan",
        "HTTPS://app.example.com/",
    ],
)
def test_a_listed_origin_is_taken_as_it_is(url: str) -> None:
    assert redirects.check(url) == url
