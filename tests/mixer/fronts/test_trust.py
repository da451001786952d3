"""Whose forwarded attributes are believed."""

from __future__ import annotations

import pytest

from meshregistry.mixer.fronts import Trust

V4, V6 = bytes([10, 1, 2, 3]), bytes(15) + b"\1"


@pytest.mark.parametrize(
    ("trust", "principal", "address", "is_trusted"),
    [
        (Trust(), "mesh/ns/a/sa/b", V4, False),
        (Trust(principals=["mesh/ns/a/sa/b"]), "mesh/ns/a/sa/b", None, True),
        (Trust(principals=["mesh/ns/a/sa/b"]), "mesh/ns/a/sa/bc", None, False),
        (Trust(principals=["mesh/*"]), "mesh/ns/x/sa/y", None, True),
        (Trust(principals=["mesh/*"]), "other/mesh/", None, False),
        (Trust(principals=["*"]), None, V4, False),
        (Trust(networks=["10.0.0.0/8"]), None, V4, True),
        (Trust(networks=["10.0.0.0/8"]), None, V6, False),
        (Trust(networks=["::1/128"]), None, V6, True),
        (Trust(networks=["::/0"]), None, None, False),
    ],
)
def test_callers_are_trusted_by_identity_or_address(trust, principal, address, is_trusted):
    """Nobody by default, and nobody without either."""
    assert is_trusted is trust.covers(principal, address)


def test_a_network_must_be_one():
    """A typing error does not become trust in nobody, or in all."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        Trust(networks=["10.0.0.1/8"])


def test_words_are_networks_or_identities():
    """What begins with an address is a network, and a wrong one is said."""
    found = Trust.parse(["10.0.0.0/8", "::1", "mesh.local/ns/*", "10.example/x"])
    assert (
        Trust(networks=["10.0.0.0/8", "::1/128"], principals=["mesh.local/ns/*", "10.example/x"])
        == found
    )
    with pytest.raises(ValueError, match="host bits"):
        Trust.parse(["10.0.0.1/8"])
