"""From the text of a hosts file to service records."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshregistry.errors import RecordError
from meshregistry.model import ServiceRecord
from meshregistry_example._config import HostsConfig
from meshregistry_example._convert import hosts_records

CONFIG = HostsConfig(path=Path("hosts"), port=8080)


def record(host, *endpoints):
    """An HTTP service at port 8080."""
    return ServiceRecord.parse(host, port=8080, endpoints=endpoints)


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("", []),
        ("# only a comment\n\n   \n", []),
        ("10.0.0.1 a.lab", [record("a.lab", "10.0.0.1:8080")]),
        ("10.0.0.1\ta.lab  # ours", [record("a.lab", "10.0.0.1:8080")]),
        ("::1 a.lab", [record("a.lab", "[::1]:8080")]),
        ("10.0.0.1 A.Lab.", [record("a.lab", "10.0.0.1:8080")]),
        ("10.0.0.1", []),
        (
            "10.0.0.1 a.lab b.lab\n10.0.0.2 a.lab\n10.0.0.2 a.lab",
            [record("a.lab", "10.0.0.1:8080", "10.0.0.2:8080"), record("b.lab", "10.0.0.1:8080")],
        ),
    ],
)
def test_each_name_is_a_service_at_its_addresses(text, records):
    """Addresses of one name are united, whatever the spelling and the comments."""
    assert records == hosts_records(text, CONFIG)


def test_a_malformed_address_is_a_fault_of_the_hosts_on_its_line():
    """The hosts of the line are faulty, also if they have good lines; the others are records."""
    found = hosts_records("10.0.0.1 a.lab c.lab\n10.0.0.999 a.lab b.lab\n", CONFIG)
    assert [record("c.lab", "10.0.0.1:8080")] == [
        one for one in found if isinstance(one, ServiceRecord)
    ]
    faults = [one for one in found if isinstance(one, RecordError)]
    assert ["a.lab", "b.lab"] == [fault.key for fault in faults]
    assert "line 2: '10.0.0.999' is not an IPv4 address" in str(faults[0])


def test_a_malformed_name_is_a_fault_without_a_key():
    """Nobody knows who was meant, so the fault has no key."""
    (fault,) = hosts_records("10.0.0.1 a..lab", CONFIG)
    assert fault.key is None
    assert "line 1: 'a..lab' is not a host name" in str(fault)


def test_only_names_with_the_suffix_are_followed():
    """Other names, such as localhost, are none of our business, even if malformed."""
    config = HostsConfig(path=Path("hosts"), port=8080, suffix=".lab")
    text = "127.0.0.1 localhost a..b\n10.0.0.1 a.lab"
    assert [record("a.lab", "10.0.0.1:8080")] == hosts_records(text, config)


def test_the_protocol_is_that_of_the_options():
    """Every service speaks what the source says."""
    config = HostsConfig(path=Path("hosts"), port=5432, protocol="TCP")
    (found,) = hosts_records("10.0.0.1 db.lab", config)
    assert (
        ServiceRecord.parse("db.lab", port=5432, protocol="TCP", endpoints=["10.0.0.1:5432"])
        == found
    )
