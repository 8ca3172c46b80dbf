"""The environment of every test, set before pytest-django reads the settings; pytest loads it first (`-p`).

What a developer has exported must not change what the tests see, so every variable that the settings
read is set here or taken away. The database is named later, by tests.embedded.
"""

import os
import re
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / ".data" / "tmp"
# Nothing answers there: a test that reaches the database without asking for it fails.
NO_DATABASE = "postgres://nobody:nothing@127.0.0.1:1/none"
ENVIRONMENT = {
    "DEBUG": "on",
    "SECRET_KEY": "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz",
    "DATABASE_URL": NO_DATABASE,
    "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
    "SITE_URL": "http://127.0.0.1:8000",
    "EMAIL_URL": "memorymail://",
    # A thread that ends, as the worker's do, must not leave its connection to be found later.
    "CONN_MAX_AGE": "0",
    "CORS_ALLOWED_ORIGINS": "http://localhost:3000",
    "ALLOWED_REDIRECT_ORIGINS": "http://localhost:3000,http://localhost:8000,http://127.0.0.1:8000",
    # pytest's temporary folders stay inside the checkout.
    "PYTEST_DEBUG_TEMPROOT": str(SCRATCH),
}
SETTING = re.compile(r"""(?:env(?:\.\w+)?|required|either)\(\s*["']([A-Z_]+)["']""")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    # A wrapper, because pytest-django's own hook asks to be first.
    if "PYTEST_XDIST_WORKER" not in os.environ:
        prepare()
    yield


def prepare() -> None:
    if key := os.environ.get("STRIPE_SECRET_KEY"):
        # For tests/billing/stripe/test_anywhere.py, and for nothing else.
        os.environ["REAL_STRIPE_SECRET_KEY"] = key
    for name in SETTING.findall((ROOT / "config" / "settings.py").read_text()):
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)
    SCRATCH.mkdir(parents=True, exist_ok=True)
