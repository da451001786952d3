"""Addresses to listen on."""

from __future__ import annotations

import pytest

from meshregistry.settings import Address


@pytest.mark.parametrize(
    ("text", "shown", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:0", "[::1]:0", "::1", 0),
        ("[0:0::1]:08", "[::1]:8", "::1", 8),
        ("Localhost:65535", "localhost:65535", "localhost", 65535),
        ("0.0.0.0:1", "0.0.0.0:1", "0.0.0.0", 1),
        ("unix:///run/x", "unix:///run/x", "", 0),
        ("unix:/run/x", "unix:///run/x", "", 0),
    ],
)
def test_addresses_have_one_spelling(text, shown, host, port):
    """Host and port, or the path of a Unix socket."""
    address = Address(text)
    assert (shown, host, port) == (address, address.host, address.port)
    assert Address.parse(address) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not an address: write host:port"),
        ("80", "'80' is not an address: write host:port"),
        (":80", "':80' is not an address: write host:port"),
        ("::1:80", "'::1:80' is not an address: write an IPv6 address in brackets"),
        ("a:b", "'b' is not a port: write a number from 0 to 65535"),
        ("a:70000", "'70000' is not a port"),
        ("a:٣", "'٣' is not a port"),
        ("1.2.3:80", "'1.2.3' is not an IPv4 address"),
        ("a b:80", "'a b' is not a host name"),
        ("*.a:80", "'\\*.a' is not an address"),
        ("unix:run", "'unix:run' is not a Unix socket"),
    ],
)
def test_anything_else_is_refused(text, message):
    """With what to write."""
    with pytest.raises(ValueError, match=f"^{message}"):
        Address(text)


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:///x", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("127.example.com:1", False),
        ("localhost.example.com:1", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(text, is_loopback):
    """A name other than localhost may be anything."""
    assert is_loopback == Address(text).is_loopback
