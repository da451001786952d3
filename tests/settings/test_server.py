"""Where to listen, and what must be asked for (contracts, section 12)."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshregistry.errors import ConfigError
from meshregistry.settings import ServerSettings, Settings, TlsSettings


def server(**values):
    """The server settings from Python's values."""
    return Settings.from_dict({"server": values}, base_path="/base").server


def faults(**values):
    """What is wrong with them."""
    with pytest.raises(ConfigError) as caught:
        server(**values)
    return [f"{fault.field}: {fault.reason}" for fault in caught.value.faults]


def test_everything_binds_to_loopback_unless_told_otherwise():
    """And admin and probes share http's address."""
    assert server() == ServerSettings()
    assert (server().xds, server().http) == ("127.0.0.1:15010", "127.0.0.1:8080")
    assert server(http="[::1]:1").admin == server(http="[::1]:1").probes == "[::1]:1"
    assert server(admin="127.0.0.1:9").probes == "127.0.0.1:8080"


def test_a_chosen_xds_port_chooses_the_http_port_too():
    """A program that lets the system choose is not in the way of another."""
    assert server(xds="127.0.0.1:0").http == "127.0.0.1:0"
    assert server(xds="127.0.0.1:0", http="127.0.0.1:80").http == "127.0.0.1:80"
    assert server(xds="unix:///x").http == "127.0.0.1:8080"


def test_null_turns_a_listener_off():
    """Each of them."""
    off = server(xds=None, http=None)
    assert (None, None, None, None) == (off.xds, off.http, off.admin, off.probes)


def test_plain_text_off_loopback_must_be_asked_for():
    """Certificates or a word that says so."""
    assert faults(xds="0.0.0.0:15010") == [
        (
            "server.xds: 0.0.0.0:15010 is not loopback, and without tls anyone can read and alter "
            "what is sent"
        )
    ]
    assert server(xds="0.0.0.0:15010", allow_plaintext=True).xds == "0.0.0.0:15010"
    tls = {"certificate": "a.pem", "key": "/b.pem"}
    assert server(xds="0.0.0.0:15010", tls=tls).tls == TlsSettings(
        certificate=Path("/base/a.pem"), key=Path("/b.pem")
    )
    assert faults(tls=tls, allow_plaintext=True) == ["server.allow_plaintext: it contradicts tls"]


def test_off_loopback_admin_and_probes_need_their_own_addresses():
    """Or a null."""
    assert faults(http="0.0.0.0:80") == [
        "server.http: 0.0.0.0:80 is not loopback, so admin needs an address of its own",
        "server.http: 0.0.0.0:80 is not loopback, so probes needs an address of its own",
    ]
    assert server(http="0.0.0.0:80", admin=None, probes="0.0.0.0:81").probes == "0.0.0.0:81"
    assert faults(http="0.0.0.0:80", admin=None, probes="0.0.0.0:80") == [
        "server.probes: off loopback it must not share the address of http"
    ]


def test_admin_off_loopback_is_refused():
    """It has no authentication, and shows and writes."""
    assert faults(admin="0.0.0.0:80") == [
        "server.admin: 0.0.0.0:80 is not loopback, and the admin listener has no authentication"
    ]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"max_streams": 0}, "server.max_streams"),
        ({"peers": ["replica:8080"]}, "server.peers"),
        ({"max_message_size": 1}, "server.max_message_size"),
        ({"drain_delay": 5}, "server.drain_delay"),
        ({"tls": {"certificate": "a"}}, "server.tls.key"),
        ({"xds": 15010}, "server.xds"),
        ({"grpc": "a:1"}, "server.grpc"),
    ],
)
def test_wrong_values_are_named(values, field):
    """By their place."""
    assert [field] == [fault.partition(":")[0] for fault in faults(**values)]
