"""Where a request comes from, and which spellings of an e-mail address are one person's."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings as SettingsWrapper

from accounts.addresses import UNKNOWN, client_address, person_hash

PROXIES = [ipaddress.ip_network(cidr) for cidr in ("10.0.0.0/8", "2001:db8:ffff::/48")]


@pytest.fixture
def behind_proxies(settings: SettingsWrapper) -> None:
    settings.TRUSTED_PROXIES = PROXIES


def address(remote: str, forwarded: str | None = None) -> str:
    return client_address({"REMOTE_ADDR": remote} | ({} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}))


def test_without_trusted_proxies_the_header_counts_for_nothing() -> None:
    assert address("192.0.2.1", "198.51.100.7") == "192.0.2.1"
    assert address("10.0.0.1", "198.51.100.7") == "10.0.0.1"


@pytest.mark.parametrize(
    ("remote", "forwarded", "found"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9 ,198.51.100.7,10.9.9.9 , 10.0.0.2 ", "198.51.100.7"),
        # Who is no proxy of ours is the client, whatever they say.
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        # Garbage ends the chain at the last address that can be believed.
        ("10.0.0.1", "198.51.100.7, garbage", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, garbage, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.7,", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:ffff::1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("", "198.51.100.7", UNKNOWN),
        ("unix:", None, UNKNOWN),
    ],
)
def test_behind_proxies_the_rightmost_address_that_is_not_trusted_counts(
    remote: str, forwarded: str | None, found: str, behind_proxies: None
) -> None:
    assert address(remote, forwarded) == found


def test_an_ipv6_customer_is_their_whole_64() -> None:
    assert address("2001:db8:1:2::1") == address("2001:db8:1:2:ffff:ffff:ffff:ffff") == "2001:db8:1:2::/64"
    assert address("2001:db8:1:3::1") != address("2001:db8:1:2::1")
    assert address("fe80::1%eth0") == address("fe80::1")


ADDRESSES = st.ip_addresses().map(str)
STRANGERS = ADDRESSES.filter(lambda text: not is_trusted(text))


def is_trusted(text: str) -> bool:
    found = ipaddress.ip_address(text)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return any((mapped or found) in network for network in PROXIES)


@given(invented=st.lists(ADDRESSES | st.text(max_size=20), max_size=4), client=STRANGERS, hops=st.integers(0, 3))
def test_what_a_client_invents_never_changes_their_address(invented: list[str], client: str, hops: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.TRUSTED_PROXIES", PROXIES)
        chain = [client, *(f"10.0.0.{hop + 2}" for hop in range(hops))]
        honest, forged = address("10.0.0.1", ",".join(chain)), address("10.0.0.1", ",".join([*invented, *chain]))
    assert honest == forged == address(client)


@given(remote=st.text(max_size=40), forwarded=st.text(max_size=80))
def test_anything_at_all_gives_some_address(remote: str, forwarded: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.TRUSTED_PROXIES", PROXIES)
        assert address(remote, forwarded)


SPELLINGS = [
    "john.smith@example.com",
    "JOHN.SMITH@EXAMPLE.COM",
    "johnsmith@example.com",
    "j.o.h.n.smith@example.com",
    "john.smith+news@example.com",
    "John.Smith+a+b@example.com",
    "  john.smith@example.com ",
]


@pytest.mark.parametrize("email", SPELLINGS)
def test_all_spellings_of_a_mailbox_are_one_person(email: str) -> None:
    assert person_hash(email) == person_hash("johnsmith@example.com")


def test_two_names_of_one_provider_are_one_person() -> None:
    assert person_hash("jane@googlemail.com") == person_hash("jane@gmail.com")


@pytest.mark.parametrize("email", ["johnsmith@example.org", "johnsmit@example.com", "johnsmith@mail.example.com"])
def test_another_mailbox_is_another_person(email: str) -> None:
    assert person_hash(email) != person_hash("johnsmith@example.com")


def test_the_hash_is_keyed_and_says_nothing_of_the_address(settings: Any) -> None:
    found = person_hash("johnsmith@example.com")
    assert len(found) == 64
    settings.ADDRESS_HASH_KEY = "another key"
    assert person_hash("johnsmith@example.com") != found
