"""The project's settings as in production, with bare views beside it: the same middleware serves both sides."""

import os

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, STRIPE_API_BASE

INSTALLED_APPS = [*INSTALLED_APPS, "tests.bench"]
ROOT_URLCONF = "tests.bench.urls"
# A stand-in for Stripe, and its clock, are refused outside development, which is slower than what is measured here.
STRIPE_API_BASE = os.environ.get("BENCH_STRIPE", STRIPE_API_BASE)
CLOCK_OFFSET_FILE = os.environ.get("BENCH_CLOCK", "")
# It posts without a proxy before it.
SECURE_SSL_REDIRECT = "BENCH_STRIPE" not in os.environ
