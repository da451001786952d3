"""Settings of the mesh."""

from __future__ import annotations

import pytest

from meshregistry.rules import MeshSettings, OutboundTrafficPolicy, RouterSettings


def test_defaults_need_nothing() -> None:
    """Without a word from the user routers take HTTP on loopback and unknown hosts may pass."""
    mesh = MeshSettings()
    assert mesh.domain == "mesh.local"
    assert mesh.connect_timeout == 1.0
    assert mesh.outbound_traffic_policy is OutboundTrafficPolicy.ALLOW_ANY
    assert mesh.router == RouterSettings(address="127.0.0.1", http_port=10_000, tcp=False)
    assert mesh.healthy_panic_threshold == 0


def test_a_policy_prints_as_users_write_it() -> None:
    """The word in the settings file and the printed one are the same."""
    assert str(MeshSettings(outbound_traffic_policy="REGISTRY_ONLY").outbound_traffic_policy) == (
        "REGISTRY_ONLY"
    )


def test_equal_settings_are_equal_values() -> None:
    """Settings are compared by value, so that reading a file again changes nothing."""
    assert MeshSettings(domain="Mesh.Example.") == MeshSettings(domain="mesh.example")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"connect_timeout": 0.0}, "connect_timeout is 0.0 s: it must be from 1ms to 24h"),
        ({"connect_timeout": float("nan")}, "connect_timeout is nan s"),
        ({"interception": "redirect"}, "interception"),
        ({"outbound_traffic_policy": "MAYBE"}, "MAYBE"),
        ({"healthy_panic_threshold": 101.0}, "healthy_panic_threshold"),
        ({"domain": "no domain"}, "'no domain' is not a host name"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(words: dict[str, object], message: str) -> None:
    """A wrong setting names itself and what it may be."""
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        MeshSettings(**words)


@pytest.mark.parametrize("address", ["edge.example", "unix:///run/router.sock", "10.0.0.999"])
def test_a_router_binds_an_ip_address(address: str) -> None:
    """A name or a socket is not an address to bind."""
    with pytest.raises(ValueError, match=r"must be an IP address|IPv4"):
        RouterSettings(address=address)


@pytest.mark.parametrize("port", [0, 65536])
def test_a_router_has_a_real_port(port: int) -> None:
    """The port that clients are told of is fixed."""
    with pytest.raises(ValueError, match="http_port"):
        RouterSettings(http_port=port)
