"""Addresses: where a request comes from, and which spellings of an e-mail address are one person's."""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping

from django.conf import settings

type IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN = "unknown"
ALIASES = {"googlemail.com": "gmail.com"}


def person_hash(email: str) -> str:
    """A keyed hash that is equal for all spellings of one mailbox: case, dots and +tags count for nothing.

    It outlives the account, and says nothing to who reads it without ADDRESS_HASH_KEY.
    """
    local, _, domain = email.strip().lower().rpartition("@")
    mailbox = f"{local.partition('+')[0].replace('.', '')}@{ALIASES.get(domain, domain)}"
    return hmac.new(settings.ADDRESS_HASH_KEY.encode(), mailbox.encode(), hashlib.sha256).hexdigest()


def client_address(meta: Mapping[str, str]) -> str:
    """What tries are counted by: the client's IPv4 address or IPv6 /64, from a request's META."""
    address = client_ip(meta)
    return UNKNOWN if address is None else _name(address)


def client_ip(meta: Mapping[str, str]) -> IPAddress | None:
    """The client's own address; None where the server does not say it.

    X-Forwarded-For counts only behind TRUSTED_PROXIES, and of it only the rightmost entry that
    is not itself a trusted proxy: what stands left of it is the client's own invention.
    """
    hops = [meta.get("REMOTE_ADDR", "")]
    if settings.TRUSTED_PROXIES:
        hops = [*meta.get("HTTP_X_FORWARDED_FOR", "").split(","), *hops]
    found = None
    for hop in reversed(hops):
        try:
            address = ipaddress.ip_address(hop.strip())
        except ValueError:
            break
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        found = address
        if not any(address in network for network in settings.TRUSTED_PROXIES):
            break
    return found


def _name(address: IPAddress) -> str:
    # One customer holds a whole /64 and could change the address with every request.
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
