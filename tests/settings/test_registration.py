"""Who may register workloads, and what must be asked for."""

from __future__ import annotations

import pytest

from meshregistry.errors import ConfigError
from meshregistry.settings import RegistrationGrant, Settings

TOKENS = [{"token": "s3cret"}]
TLS = {"certificate": "a.pem", "key": "b.pem"}


def settings(server=None, **registration):
    """Settings with a source ``mine``."""
    return Settings.from_dict(
        {
            "sources": [{"id": "mine", "kind": "memory"}],
            "server": {"registration": {"source": "mine", **registration}, **(server or {})},
        },
        base_path="/base",
    )


def test_it_is_on_the_address_of_http_unless_it_says_otherwise():
    """And lasts half a minute unless the agent says so."""
    found = settings(tokens=TOKENS).server.registration
    assert (None, None, 30.0, 3600.0) == (
        found.address,
        found.tls,
        found.default_ttl,
        found.max_ttl,
    )
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("server", "registration", "fault"),
    [
        ({}, {}, "server.registration: nobody may register"),
        ({}, {"source": "min", "tokens": TOKENS}, "source: there is no source min"),
        ({}, {"clients": [{"identity": "a"}]}, "clients: client certificates are not asked for"),
        (
            {"http": None},
            {"tokens": TOKENS},
            "server.registration: http is off, so there is no address",
        ),
        (
            {},
            {"tokens": TOKENS, "address": "0.0.0.0:80"},
            "address: 0.0.0.0:80 is not loopback, and without tls anyone can read the tokens",
        ),
        ({}, {"tokens": TOKENS, "tls": TLS}, "tls: a listener with certificates shares no address"),
        (
            {},
            {"tokens": TOKENS, "tls": TLS, "address": "127.0.0.1:8080"},
            "tls: a listener with certificates shares no address",
        ),
        (
            {},
            {"tokens": TOKENS, "tls": TLS, "address": "unix:///x"},
            "tls: a Unix socket has no certificates",
        ),
        (
            {},
            {
                "tokens": TOKENS,
                "tls": TLS,
                "address": "127.0.0.1:9",
                "allow_plaintext": True,
            },
            "allow_plaintext: it contradicts tls",
        ),
        (
            {},
            {"tokens": TOKENS, "default_ttl": "2h"},
            "server.registration: default_ttl is longer than max_ttl: make one of them fit",
        ),
        ({}, {"tokens": [{"token": "a", "hosts": []}]}, "hosts: "),
        ({}, {"tokens": [{"token": "a", "hosts": ["a*"]}]}, "hosts: 'a*' names no hosts"),
        ({}, {"tokens": [{}]}, "tokens[0].token: the key is missing"),
    ],
)
def test_what_is_not_safe_or_of_no_use_is_a_fault(server, registration, fault):
    """At its place."""
    with pytest.raises(ConfigError) as caught:
        settings(server, **registration)
    (only,) = caught.value.faults
    assert fault in f"{only.field}: {only.reason}"


def test_plain_text_and_certificates_are_ways_off_loopback():
    """Either, if it is said."""
    assert settings(tokens=TOKENS, address="0.0.0.0:80", allow_plaintext=True)
    assert settings(tokens=TOKENS, address="0.0.0.0:80", tls=TLS)


@pytest.mark.parametrize(
    ("hosts", "host", "is_allowed"),
    [
        (("*",), "a.b", True),
        (("a.b",), "a.b", True),
        (("a.b",), "x.a.b", False),
        (("*.b",), "a.b", True),
        (("*.b",), "b", False),
        (("*.b",), "ab", False),
        (("x", "*.c"), "a.c", True),
    ],
)
def test_hosts_are_names_or_all_below_one(hosts, host, is_allowed):
    """A star stands for one label or several."""
    assert RegistrationGrant(hosts=hosts).allows("", host) is is_allowed


def test_namespaces_are_exact():
    """An unset one is the empty one."""
    grant = RegistrationGrant(namespaces=("shop",))
    assert [True, False, False] == [grant.allows(one, "a") for one in ("shop", "", "shop2")]
