"""System checks: Stripe's SDK, dj-stripe and our settings speak one version of the API, the one this was built on."""

from importlib.metadata import version
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from djstripe.settings import djstripe_settings

# Private to the SDK, which is pinned; `stripe.api_version` is already ours.
from stripe._api_version import _ApiVersion

SDK = "15.6"
MIRROR = "2.11"


@register("stripe")
def stripe_versions_agree(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    return drift(
        sdk=version("stripe"),
        mirror=version("dj-stripe"),
        sdk_speaks=_ApiVersion.CURRENT,
        mirror_speaks=djstripe_settings.DEFAULT_STRIPE_API_VERSION,
        we_speak=settings.STRIPE_API_VERSION,
    )


def drift(*, sdk: str, mirror: str, sdk_speaks: str, mirror_speaks: str, we_speak: str) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not sdk.startswith(f"{SDK}."):
        found.append(Error(f"stripe {sdk} is installed, and {SDK} is what this was built on.", id="billing.E001"))
    if not mirror.startswith(f"{MIRROR}."):
        found.append(
            Error(f"dj-stripe {mirror} is installed, and {MIRROR} is what this was built on.", id="billing.E002")
        )
    if we_speak != mirror_speaks:
        message = f"STRIPE_API_VERSION is {we_speak}, and dj-stripe reads objects of {mirror_speaks}."
        found.append(Error(message, id="billing.E003"))
    # Within a release that has a name Stripe only adds, so an SDK of a later month understands ours.
    if release(sdk_speaks) != release(we_speak) or sdk_speaks < we_speak:
        message = f"STRIPE_API_VERSION is {we_speak}, and the SDK was made for {sdk_speaks}."
        found.append(Error(message, id="billing.E004"))
    return found


def release(version: str) -> str:
    return version.partition(".")[2]
