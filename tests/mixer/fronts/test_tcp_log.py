"""Connections in Envoy's access log as reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshregistry.mixer.fronts._reporter import Reporter
from meshregistry.mixer.fronts._tcp_log import Connections

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
AFTER = int((BEGAN + timedelta(seconds=1)).timestamp())
BEFORE = int((BEGAN - timedelta(seconds=1)).timestamp())
NOW = BEGAN + timedelta(hours=1)


@pytest.fixture
def connections():
    """As they are known when a server begins."""
    return Connections(3, BEGAN)


def entry(kind="TcpConnectionEnd", received=0, sent=0, *, stream="s", start=AFTER, more=""):
    """An entry of a connection."""
    return text_format.Parse(
        f'common_properties {{ access_log_type: {kind} stream_id: "{stream}" '
        f"start_time {{ seconds: {start} }} {more} }} "
        f"connection_properties {{ received_bytes: {received} sent_bytes: {sent} }}",
        accesslog_pb2.TCPAccessLogEntry(),
    )


def reported(connections, message, reporter=None):
    """Event, new bytes, all bytes."""
    bag, _ = connections.bag(message, reporter or Reporter(), NOW)
    names = ("received.bytes", "sent.bytes", "received.bytes_total", "sent.bytes_total")
    return (bag["connection.event"], *(bag[f"connection.{name}"] for name in names))


def test_a_connection_opens_goes_on_and_closes(connections):
    """Each report tells what is new since the last one; nothing is kept after the end."""
    assert ("open", 0, 0, 0, 0) == reported(connections, entry("TcpUpstreamConnected"))
    assert ("continue", 5, 7, 5, 7) == reported(connections, entry("TcpPeriodic", 5, 7))
    assert ("continue", 0, 1, 5, 8) == reported(connections, entry("TcpPeriodic", 5, 8))
    assert ("close", 1, 0, 6, 8) == reported(connections, entry("TcpConnectionEnd", 6, 8))
    assert 0 == len(connections)


def test_a_connection_that_is_only_logged_at_its_end_has_all_bytes(connections):
    """As Envoys do that are not told otherwise, also without a type."""
    assert ("close", 6, 8, 6, 8) == reported(connections, entry("TcpConnectionEnd", 6, 8))
    assert ("close", 6, 8, 6, 8) == reported(connections, entry("NotSet", 6, 8, stream=""))


def test_of_a_connection_without_an_id_the_end_tells_of_all_bytes(connections):
    """Nobody knows what other entries have told of; counted twice is worse than late."""
    assert ("open", 0, 0, 1, 2) == reported(
        connections, entry("TcpUpstreamConnected", 1, 2, stream="")
    )
    assert ("continue", 0, 0, 5, 7) == reported(connections, entry("TcpPeriodic", 5, 7, stream=""))
    assert ("close", 6, 8, 6, 8) == reported(connections, entry("NotSet", 6, 8, stream=""))
    assert 0 == len(connections)


def test_two_starts_are_one(connections):
    """Newer Envoys may log before there is an upstream and after."""
    assert "open" == reported(connections, entry("14"))[0]
    assert "continue" == reported(connections, entry("TcpUpstreamConnected"))[0]


def test_bytes_from_before_the_server_are_not_new(connections):
    """Another one has reported them; the totals are right all the same."""
    old = {"start": BEFORE}
    assert ("continue", 0, 0, 50, 5) == reported(connections, entry("TcpPeriodic", 50, 5, **old))
    assert ("close", 1, 0, 51, 5) == reported(connections, entry("TcpConnectionEnd", 51, 5, **old))


def test_fewer_bytes_than_before_are_none(connections):
    """A total that goes back does not become a negative number."""
    reported(connections, entry("TcpPeriodic", 5, 5))
    assert ("continue", 0, 0, 4, 4) == reported(connections, entry("TcpPeriodic", 4, 4))


def test_streams_of_two_proxies_are_two(connections):
    """Their ids may be the same."""
    reported(connections, entry("TcpPeriodic", 5, 5), Reporter(node_id="a"))
    other = reported(connections, entry("TcpConnectionEnd", 7, 7), Reporter(node_id="b"))
    assert ("close", 7, 7, 7, 7) == other


def test_what_is_remembered_has_a_bound(connections):
    """The connection that was reported longest ago goes."""
    for number in range(9):
        reported(connections, entry("TcpPeriodic", 1, 1, stream=str(number)))
    assert 3 == len(connections)


def test_fields_become_attributes(connections):
    """Those of connections beside those of all entries."""
    more = (
        "duration { seconds: 2 } "
        'downstream_remote_address { socket_address { address: "10.0.0.1" } } '
        'upstream_cluster: "outbound|80||a.shop.svc.x"'
    )
    bag, _ = connections.bag(entry(more=more), Reporter(), NOW)
    expected = {
        "context.protocol": "tcp",
        "context.time": NOW,
        "connection.id": "s",
        "connection.duration": timedelta(seconds=2),
        "source.ip": bytes([10, 0, 0, 1]),
        "origin.ip": bytes([10, 0, 0, 1]),
        "destination.service.host": "a.shop.svc.x",
        "context.proxy_error_code": "-",
    }
    assert expected == {name: bag.get(name) for name in expected}


def test_only_the_end_has_a_duration(connections):
    """Before that nobody knows."""
    bag, _ = connections.bag(entry("TcpPeriodic", more="duration { seconds: 2 }"), Reporter(), NOW)
    assert "connection.duration" not in bag


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_messages_are_read(messages, assert_sound, data):
    """Without a crash, with values of their types, and never with fewer than no bytes."""
    connections = Connections(2, BEGAN)
    for message in data.draw(st.lists(messages(accesslog_pb2.TCPAccessLogEntry), max_size=4)):
        bag, _ = connections.bag(message, Reporter(), NOW)
        assert_sound(bag)
        assert 0 <= bag["connection.received.bytes"] <= bag["connection.received.bytes_total"]
        assert len(connections) <= 2
